import type { ListenAddress } from '../config/model.ts';
import type { ProtocolVocabulary } from '../policy/vocabulary.ts';
import type { ProtocolListener, ProtocolServices } from './protocol.ts';
import { listenPostgres } from './postgres/listener.ts';
import { postgresVocabulary } from './postgres/vocabulary.ts';

/** What the rest of the gateway needs to know of a protocol. */
export interface ProtocolDefinition {
  /** As `listeners` and the `kind` of a resource name it in the configuration. */
  readonly name: string;
  /** Port of an upstream address that states none. */
  readonly defaultPort: number;
  readonly vocabulary: ProtocolVocabulary;
  /** Opens a listener. Resolves when it accepts connections. */
  listen(services: ProtocolServices, address: ListenAddress): Promise<ProtocolListener>;
}

const definitions: readonly ProtocolDefinition[] = [
  { name: 'postgres', defaultPort: 5432, vocabulary: postgresVocabulary, listen: listenPostgres },
];

/** The protocols of this build by name. To add one, add its line above. */
export const protocols: ReadonlyMap<string, ProtocolDefinition> = new Map(definitions.map((definition) => [definition.name, definition]));

/** All vocabularies, in the order of the registry. */
export const vocabularies: readonly ProtocolVocabulary[] = definitions.map((definition) => definition.vocabulary);
