/*
 * The parse tree of a text as one flat list of items, for the Rust side to build its own nodes from. libpg_query would encode
 * the tree in protobuf instead, which costs more than parsing it.
 *
 * libpg_query generates the code that visits every field of every node, in terms of macros that say what to do with one:
 * these are defined here. Positions in the text and fields at their default (0, "", false, NULL) are left out.
 */
#include "pg_query.h"
#include "pg_query_internal.h"

#include "postgres.h"

#include "access/relation.h"
#include "miscadmin.h"
#include "nodes/bitmapset.h"
#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"
#include "nodes/value.h"

/* As in ffi.rs. */
typedef enum
{
	SLUICE_STATEMENT,
	SLUICE_NODE,
	SLUICE_LIST,
	SLUICE_NULL,
	SLUICE_INTEGER,
	SLUICE_BOOLEAN,
	SLUICE_STRING,
	SLUICE_CONSTANT_NULL,
	SLUICE_CONSTANT_INTEGER,
	SLUICE_CONSTANT_FLOAT,
	SLUICE_CONSTANT_BOOLEAN,
	SLUICE_CONSTANT_STRING,
	SLUICE_CONSTANT_BIT_STRING
} SluiceKind;

typedef struct
{
	/* Name of the field that holds this; no name in a list. Static. */
	const char *field;
	/* A node's kind (static), a string's text (of the memory context). */
	const char *text;
	/* The number; of a node its fields, of a list its elements that follow; of a statement its start. */
	int64_t number;
	/* Length of `text`; of a statement its own. */
	uint32_t length;
	uint16_t field_length;
	uint16_t kind;
} SluiceItem;

typedef struct
{
	SluiceItem *items;
	size_t count;
	size_t capacity;
	/* Most items; more are an error. */
	size_t most;
	/* Levels of nodes above. */
	int depth;
} SluiceWriter;

typedef struct
{
	const SluiceItem *items;
	size_t count;
	PgQueryError *error;
	char *stderr_buffer;
	void *context;
} SluiceTree;

#define FIRST_CAPACITY 128
/* The bounds of libpg_query's own encoding. */
#define MAX_DEPTH 10000

static size_t
item(SluiceWriter *out, const char *field, size_t field_length, SluiceKind kind, const char *text, size_t length, int64_t number)
{
	SluiceItem *next;

	if (out->count == out->capacity)
	{
		if (out->count >= out->most)
			ereport(ERROR, (errmsg("the statement is too complex")));
		out->capacity *= 2;
		out->items = repalloc(out->items, out->capacity * sizeof(SluiceItem));
	}
	next = &out->items[out->count];
	next->field = field;
	next->text = text;
	next->number = number;
	next->length = (uint32_t) length;
	next->field_length = (uint16_t) field_length;
	next->kind = (uint16_t) kind;
	return out->count++;
}

#define FIELD_NAME(outname) #outname, sizeof(#outname) - 1

/* Where a node stands in the text says nothing of what it does. The compiler does this away for all fields but these. */
#define IS_POSITION(outname) \
	(strcmp(#outname, "location") == 0 || \
	 (sizeof(#outname) > sizeof("_location") && strcmp(#outname + (sizeof(#outname) > sizeof("_location") ? sizeof(#outname) - sizeof("_location") : 0), "_location") == 0))

#define NUMBER_FIELD(outname, value) \
	if (!IS_POSITION(outname) && (value) != 0) \
		(*fields)++, item(out, FIELD_NAME(outname), SLUICE_INTEGER, NULL, 0, (int64_t) (value));

typedef struct SluiceFields SluiceFields;

#define OUT_TYPE(typename, typename_c) int64_t *fields, SluiceWriter *
#define OUT_NODE(typename, typename_c, typename_underscore, typename_underscore_upcase, typename_cast, fldname) \
	{ \
		size_t at = item(out, field, field_length, SLUICE_NODE, FIELD_NAME(typename_c), 0); \
		int64_t below = 0; \
		_out##typename_c(&below, out, (const typename_cast *) obj); \
		out->items[at].number = below; \
	}

#define WRITE_INT_FIELD(msgtype, outname, outname_json, fldname) NUMBER_FIELD(outname, node->fldname)
#define WRITE_UINT_FIELD(msgtype, outname, outname_json, fldname) NUMBER_FIELD(outname, node->fldname)
#define WRITE_UINT64_FIELD(msgtype, outname, outname_json, fldname) NUMBER_FIELD(outname, node->fldname)
#define WRITE_LONG_FIELD(msgtype, outname, outname_json, fldname) NUMBER_FIELD(outname, node->fldname)
#define WRITE_ENUM_FIELD(msgtype, enumtype, outname, outname_json, fldname) NUMBER_FIELD(outname, _enumToInt##enumtype(node->fldname))
/* Only planner statistics are floating-point or sets of bits; a raw parse tree has none. */
#define WRITE_FLOAT_FIELD(msgtype, outname, outname_json, fldname)
#define WRITE_BITMAPSET_FIELD(msgtype, outname, outname_json, fldname)

#define WRITE_BOOL_FIELD(msgtype, outname, outname_json, fldname) \
	if (node->fldname) \
		(*fields)++, item(out, FIELD_NAME(outname), SLUICE_BOOLEAN, NULL, 0, 1);

/* The character stays in the node, which lives as long as the items. */
#define WRITE_CHAR_FIELD(msgtype, outname, outname_json, fldname) \
	if (node->fldname != 0) \
		(*fields)++, item(out, FIELD_NAME(outname), SLUICE_STRING, (const char *) &node->fldname, 1, 0);

#define WRITE_STRING_FIELD(msgtype, outname, outname_json, fldname) \
	if (!IS_POSITION(outname) && node->fldname != NULL && node->fldname[0] != '\0') \
		(*fields)++, item(out, FIELD_NAME(outname), SLUICE_STRING, node->fldname, strlen(node->fldname), 0);

#define WRITE_LIST_FIELD(msgtype, outname, outname_json, fldname) \
	if (node->fldname != NULL) \
		(*fields)++, list(out, FIELD_NAME(outname), node->fldname);

#define WRITE_NODE_FIELD(msgtype, outname, outname_json, fldname) \
	(*fields)++, any(out, FIELD_NAME(outname), &node->fldname);

#define WRITE_NODE_PTR_FIELD(msgtype, outname, outname_json, fldname) \
	if (node->fldname != NULL) \
		(*fields)++, any(out, FIELD_NAME(outname), node->fldname);

#define SPECIFIC(typename, outname, address) \
	{ \
		size_t at = item(out, FIELD_NAME(outname), SLUICE_NODE, FIELD_NAME(typename), 0); \
		int64_t below = 0; \
		(*fields)++; \
		enter(out); \
		_out##typename(&below, out, address); \
		out->depth--; \
		out->items[at].number = below; \
	}

#define WRITE_SPECIFIC_NODE_FIELD(msgtype, typename, typename_underscore, outname, outname_json, fldname) \
	SPECIFIC(typename, outname, &node->fldname)

#define WRITE_SPECIFIC_NODE_PTR_FIELD(msgtype, typename, typename_underscore, outname, outname_json, fldname) \
	if (node->fldname != NULL) \
		SPECIFIC(typename, outname, node->fldname)

static void any(SluiceWriter *out, const char *field, size_t field_length, const void *obj);
static void list(SluiceWriter *out, const char *field, size_t field_length, const List *node);

static void
enter(SluiceWriter *out)
{
	check_stack_depth();
	if (++out->depth > MAX_DEPTH)
		ereport(ERROR, (errmsg("stack depth limit exceeded")));
}

static void
_outList(int64_t *fields, SluiceWriter *out, const List *node)
{
	if (node->length > 0)
		(*fields)++, list(out, FIELD_NAME(items), node);
}

static void
_outIntList(int64_t *fields, SluiceWriter *out, const List *node)
{
	_outList(fields, out, node);
}

static void
_outOidList(int64_t *fields, SluiceWriter *out, const List *node)
{
	_outList(fields, out, node);
}

static void
_outInteger(int64_t *fields, SluiceWriter *out, const Integer *node)
{
	WRITE_INT_FIELD(Integer, ival, ival, ival)
}

static void
_outBoolean(int64_t *fields, SluiceWriter *out, const Boolean *node)
{
	WRITE_BOOL_FIELD(Boolean, boolval, boolval, boolval)
}

static void
_outFloat(int64_t *fields, SluiceWriter *out, const Float *node)
{
	WRITE_STRING_FIELD(Float, fval, fval, fval)
}

static void
_outString(int64_t *fields, SluiceWriter *out, const String *node)
{
	WRITE_STRING_FIELD(String, sval, sval, sval)
}

static void
_outBitString(int64_t *fields, SluiceWriter *out, const BitString *node)
{
	WRITE_STRING_FIELD(BitString, bsval, bsval, bsval)
}

static void
constant(SluiceWriter *out, const char *field, size_t field_length, const A_Const *node)
{
	SluiceKind kind = SLUICE_CONSTANT_NULL;
	const char *text = NULL;
	int64_t number = 0;

	if (!node->isnull)
		switch (nodeTag(&node->val.node))
		{
			case T_Integer:
				kind = SLUICE_CONSTANT_INTEGER;
				number = node->val.ival.ival;
				break;
			case T_Boolean:
				kind = SLUICE_CONSTANT_BOOLEAN;
				number = node->val.boolval.boolval;
				break;
			case T_Float:
				kind = SLUICE_CONSTANT_FLOAT;
				text = node->val.fval.fval;
				break;
			case T_String:
				kind = SLUICE_CONSTANT_STRING;
				text = node->val.sval.sval;
				break;
			case T_BitString:
				kind = SLUICE_CONSTANT_BIT_STRING;
				text = node->val.bsval.bsval;
				break;
			default:
				ereport(ERROR, (errmsg("the parse tree has a constant of an unknown kind")));
		}
	item(out, field, field_length, kind, text, text == NULL ? 0 : strlen(text), number);
}

/* Constants never get here: `any` writes them. */
static void
_outAConst(int64_t *fields, SluiceWriter *out, const A_Const *node)
{
	(*fields)++;
	constant(out, FIELD_NAME(val), node);
}

#include "pg_query_enum_defs.c"
#include "pg_query_outfuncs_defs.c"

static void
any(SluiceWriter *out, const char *field, size_t field_length, const void *obj)
{
	if (obj == NULL)
	{
		item(out, field, field_length, SLUICE_NULL, NULL, 0, 0);
		return;
	}
	if (nodeTag(obj) == T_A_Const)
	{
		constant(out, field, field_length, obj);
		return;
	}
	enter(out);
	switch (nodeTag(obj))
	{
#include "pg_query_outfuncs_conds.c"
		default:
			/* No kind that raw trees have: the analysis says that it does not know the statement. */
			item(out, field, field_length, SLUICE_NODE, FIELD_NAME(Unrecognized), 0);
	}
	out->depth--;
}

static void
list(SluiceWriter *out, const char *field, size_t field_length, const List *node)
{
	const ListCell *cell;

	item(out, field, field_length, SLUICE_LIST, NULL, 0, node->length);
	if (IsA(node, IntList))
		foreach(cell, node) item(out, NULL, 0, SLUICE_INTEGER, NULL, 0, lfirst_int(cell));
	else if (IsA(node, OidList))
		foreach(cell, node) item(out, NULL, 0, SLUICE_INTEGER, NULL, 0, lfirst_oid(cell));
	else
		foreach(cell, node) any(out, NULL, 0, lfirst(cell));
}

static void
write_statements(SluiceWriter *out, const List *statements)
{
	const ListCell *cell;

	out->capacity = FIRST_CAPACITY;
	out->items = palloc(out->capacity * sizeof(SluiceItem));
	foreach(cell, statements)
	{
		const RawStmt *raw = lfirst(cell);

		item(out, NULL, 0, SLUICE_STATEMENT, NULL, raw->stmt_len, raw->stmt_location);
		any(out, NULL, 0, raw->stmt);
	}
}

/* `tree` has to be given to sluice_tree_free before the next call on this thread, whatever became of it. */
void
sluice_tree_parse(const char *text, size_t most, SluiceTree *tree)
{
	MemoryContext context = pg_query_enter_memory_context();
	PgQueryInternalParsetreeAndError parsed = pg_query_raw_parse(text, PG_QUERY_PARSE_DEFAULT);
	SluiceWriter out = {0};

	tree->items = NULL;
	tree->count = 0;
	tree->context = context;
	tree->stderr_buffer = parsed.stderr_buffer;
	tree->error = parsed.error;
	if (parsed.error != NULL)
		return;

	out.most = most;
	PG_TRY();
	{
		write_statements(&out, parsed.tree);
		tree->items = out.items;
		tree->count = out.count;
	}
	PG_CATCH();
	{
		ErrorData *data;

		MemoryContextSwitchTo(context);
		data = CopyErrorData();
		tree->error = calloc(1, sizeof(PgQueryError));
		if (tree->error != NULL)
		{
			tree->error->message = strdup(data->message);
			tree->error->cursorpos = data->cursorpos;
		}
		FlushErrorState();
	}
	PG_END_TRY();
}

void
sluice_tree_free(SluiceTree *tree)
{
	pg_query_exit_memory_context(tree->context);
	if (tree->error != NULL)
		pg_query_free_error(tree->error);
	free(tree->stderr_buffer);
}
