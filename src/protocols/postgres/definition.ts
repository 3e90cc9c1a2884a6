import type { ProtocolDefinition } from '../registry.ts';
import { clientHelp } from './client-help.ts';
import { explainStatement } from './explain.ts';
import { CONNECT, listenPostgres } from './listener.ts';
import { renderMessages } from './render.ts';
import { postgresVocabulary } from './vocabulary.ts';

/** What the registry holds of this protocol. */
export const postgres: ProtocolDefinition = {
  name: 'postgres',
  defaultPort: 5432,
  vocabulary: postgresVocabulary,
  connect: CONNECT,
  clientHelp,
  explain: explainStatement,
  listen: listenPostgres,
  render: renderMessages,
};
