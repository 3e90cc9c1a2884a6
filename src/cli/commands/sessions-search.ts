import { type LoginQuery, listLogins } from '../../recording/logins.ts';
import { type SearchQuery, searchRecord } from '../../recording/search.ts';
import type { Arguments, Command } from '../command.ts';
import { visible } from '../terminal.ts';
import { asked, queryOf, rangeDetails, rangeOptions, readingCommand } from './reading.ts';

const findOptions = { user: { type: 'string' }, object: { type: 'string' }, ...rangeOptions } as const;
const findMembers = { user: 'principal', object: 'object', since: 'since', until: 'until' } as const;

/** What `search` and `denials` share. */
function finding(name: string, summary: string, query: (args: Arguments) => SearchQuery): Command {
  return readingCommand({
    name,
    summary,
    usage: '[TEXT] [--user U] [--object O] [--since T] [--until T]',
    options: findOptions,
    details: [
      '  TEXT            in the statement or its values; upper and lower case are the same',
      '  --user U        who acted',
      '  --object O      an object touched: public.cards also finds a statement that wrote cards, and cards one that wrote public.cards',
      ...rangeDetails,
    ],
    positionals: { min: 0, max: 1 },
    asked: (args) => asked({ ...query(args) }),
    show(record, args, print) {
      for (const match of searchRecord(record, query(args))) {
        print.one(match, () => {
          const outcome = match.denied ? `DENIED (${match.message})  ` : '';
          const who = match.sid === '' ? `${match.principal} at the API` : `${match.principal}@${match.resource}`;
          return `${match.t}  ${match.sid === '' ? '-' : match.sid}  ${visible(`${who}  ${outcome}${match.text}`)}\n`;
        });
      }
    },
  });
}

function searched(args: Arguments): SearchQuery {
  const [text] = args.words;
  return { ...(text === undefined ? {} : { text }), ...queryOf(args, findMembers) };
}

export const sessionsSearch = finding(
  'sessions search',
  'Finds operations by their text, who ran them, what they touched and when.',
  searched,
);

export const sessionsDenials = finding('sessions denials', 'Lists the operations that were denied, with the reason.', (args) => ({
  ...searched(args),
  denied: true,
}));

export const sessionsLogins = readingCommand({
  name: 'sessions logins',
  summary: 'Lists log-ins: who came in, and who was refused and why.',
  usage: '[--failed] [--user U] [--since T] [--until T]',
  options: { failed: { type: 'boolean' }, user: { type: 'string' }, ...rangeOptions },
  details: ['  --failed        only those that were refused', '  --user U        the name that was given', ...rangeDetails],
  asked: (args) => asked({ ...loginQuery(args) }),
  show(record, args, print) {
    for (const login of listLogins(record, loginQuery(args))) {
      print.one(login, () => {
        const outcome = login.ok ? `ok  session ${login.sid}` : `REFUSED ${login.code}`;
        return `${login.t}  ${visible(`${login.user}@${login.resource}  from ${login.source}  ${outcome}`)}\n`;
      });
    }
  },
});

function loginQuery(args: Arguments): LoginQuery {
  const query = queryOf(args, { user: 'user', since: 'since', until: 'until' });
  return args.flag('failed') ? { ...query, failed: true } : query;
}
