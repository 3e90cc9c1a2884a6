"""A client on libpq 18 that has a token of its own: the hook that applications register for OAUTHBEARER.

argv: the shared library, a connection string, the token. Prints one JSON object: the rows of one query or the error, and how
often the hook was called with which discovery address.
"""

import ctypes
import json
import sys

library, conninfo, token = sys.argv[1:4]
pq = ctypes.CDLL(library)


class BearerRequest(ctypes.Structure):
    # PGoauthBearerRequest of libpq-fe.h
    _fields_ = [
        ("openid_configuration", ctypes.c_char_p),
        ("scope", ctypes.c_char_p),
        ("run", ctypes.c_void_p),
        ("cleanup", ctypes.c_void_p),
        ("token", ctypes.c_char_p),
        ("user", ctypes.c_void_p),
    ]


HOOK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
OAUTH_BEARER_TOKEN = 1
asked = []


@HOOK
def hook(kind, _connection, data):
    if kind != OAUTH_BEARER_TOKEN:
        return 0
    request = ctypes.cast(data, ctypes.POINTER(BearerRequest)).contents
    asked.append([(request.openid_configuration or b"").decode(), (request.scope or b"").decode()])
    request.token = token.encode()
    return 1


for name in ("PQconnectdb", "PQexec"):
    getattr(pq, name).restype = ctypes.c_void_p
for name in ("PQerrorMessage", "PQgetvalue"):
    getattr(pq, name).restype = ctypes.c_char_p

pq.PQsetAuthDataHook(hook)
connection = ctypes.c_void_p(pq.PQconnectdb(conninfo.encode()))
answer = {"version": pq.PQlibVersion(), "asked": asked, "error": "", "rows": []}
if pq.PQstatus(connection) != 0:
    answer["error"] = pq.PQerrorMessage(connection).decode()
else:
    result = ctypes.c_void_p(pq.PQexec(connection, b"select current_user, count(*) from orders"))
    columns = range(pq.PQnfields(result))
    answer["rows"] = [[pq.PQgetvalue(result, row, column).decode() for column in columns] for row in range(pq.PQntuples(result))]
    answer["error"] = pq.PQerrorMessage(connection).decode()
pq.PQfinish(connection)
print(json.dumps(answer))
