import type { ClientHelp, ClientHelpRequest } from '../access/client-help.ts';
import type { ListenAddress } from '../config/model.ts';
import { adminVocabulary } from '../policy/admin-vocabulary.ts';
import type { Operation } from '../policy/model.ts';
import type { ProtocolVocabulary } from '../policy/vocabulary.ts';
import type { ExplainRequest, Explanation } from './explain.ts';
import { postgres } from './postgres/definition.ts';
import type { ProtocolListener, ProtocolServices } from './protocol.ts';

/** What the rest of the gateway needs to know of a protocol. */
export interface ProtocolDefinition {
  /** As `listeners` and the `kind` of a resource name it in the configuration. */
  readonly name: string;
  /** Port of an upstream address that states none. */
  readonly defaultPort: number;
  readonly vocabulary: ProtocolVocabulary;
  /** What a log-in asks of policy. */
  readonly connect: Operation;
  /** How a person connects to a resource: what to type, and what to put into the client's own files. */
  clientHelp(wanted: ClientHelpRequest): ClientHelp;
  /** What would become of an operation. Throws GatewayError when it cannot be told. */
  explain(request: ExplainRequest): Promise<Explanation>;
  /** Recorded bytes of a session as text for people; `stream` names the way or channel, '' is the reply. */
  render(bytes: Buffer, stream: string): string;
  /** Opens a listener. Resolves when it accepts connections. */
  listen(services: ProtocolServices, address: ListenAddress): Promise<ProtocolListener>;
}

const definitions: readonly ProtocolDefinition[] = [postgres];

/** The protocols of this build by name. To add one, add it above. */
export const protocols: ReadonlyMap<string, ProtocolDefinition> = new Map(definitions.map((definition) => [definition.name, definition]));

/** The vocabularies of all protocols, in the order of the registry, and that of the gateway's own API. */
export const vocabularies: readonly ProtocolVocabulary[] = [...definitions.map((definition) => definition.vocabulary), adminVocabulary];
