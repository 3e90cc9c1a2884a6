import { GatewayError } from '../errors.ts';
import type { ProtocolVocabulary } from './vocabulary.ts';

/** Attributes the engine adds to the context of every operation. */
export const commonContext = {
  account: 'String',
  resource: 'String',
  kind: 'String',
  granted: 'Bool',
  issuer: 'String',
  mfa: 'Bool',
  acr: 'String',
  amr: 'Set<String>',
  authAge: 'Long',
  approvedBy: 'Set<String>',
} as const;

/** Entity types the schema itself declares. */
const reservedTypes: readonly string[] = ['Group', 'User', 'Service', 'Resource', 'Action'];

const identifier = /^[A-Za-z_][A-Za-z0-9_]*$/;

/**
 * The Cedar schema for a set of protocols. An action group of the same name is shared between protocols; actions and object
 * types are not, because their contexts differ. Throws GatewayError `policy_invalid` when vocabularies clash.
 */
export function cedarSchema(vocabularies: readonly ProtocolVocabulary[]): string {
  const problems: string[] = [];
  const lines = ['entity Group;', 'entity User in [Group];', 'entity Service in [Group];', 'entity Resource;'];
  const owners = new Map<string, string>();
  const groups = new Set<string>();
  const claim = (what: string, protocol: string): void => {
    const owner = owners.get(what);
    if (owner !== undefined) problems.push(`${protocol}: ${what} is declared by ${owner} already`);
    owners.set(what, protocol);
  };

  const actionLines: string[] = [];
  vocabularies.forEach((vocabulary, index) => {
    const { protocol } = vocabulary;
    for (const type of vocabulary.objectTypes) {
      if (!identifier.test(type.name) || reservedTypes.includes(type.name))
        problems.push(`${protocol}: ${type.name} cannot name an object type`);
      claim(`the object type ${type.name}`, protocol);
      const attributes = type.attributes.map((name) => `${quote(name)}: String`).join(', ');
      lines.push(`entity ${type.name} in [${[...type.in, 'Resource'].join(', ')}]${attributes === '' ? '' : ` { ${attributes} }`};`);
    }
    lines.push(`type Context${index} = ${record({ ...vocabulary.context, ...commonContext })};`);
    for (const own of [vocabulary.context, ...Object.values(vocabulary.actionContext ?? {})]) {
      for (const name of Object.keys(commonContext)) {
        if (name in own) problems.push(`${protocol}: the context attribute ${name} is the engine's own`);
      }
    }
    claim(`the action group ${protocol}`, protocol);
    groups.add(protocol);
    const resources = ['Resource', ...vocabulary.objectTypes.map((type) => type.name)].join(', ');
    for (const [action, memberOf] of Object.entries(vocabulary.actions)) {
      claim(`the action ${action}`, protocol);
      for (const group of memberOf) groups.add(group);
      const parents = [protocol, ...memberOf].map((group) => `Action::${quote(group)}`).join(', ');
      const own = vocabulary.actionContext?.[action];
      const context = own === undefined ? `Context${index}` : record({ ...vocabulary.context, ...own, ...commonContext });
      actionLines.push(
        `action ${quote(action)} in [${parents}] appliesTo { principal: [User, Service], resource: [${resources}], context: ${context} };`,
      );
    }
  });
  for (const group of groups) {
    const owner = owners.get(`the action ${group}`);
    if (owner !== undefined) problems.push(`${owner}: ${group} is both an action and a group of actions`);
    lines.push(`action ${quote(group)};`);
  }
  if (problems.length > 0) {
    throw new GatewayError({ code: 'policy_invalid', source: 'gateway', phase: 'config', publicMessage: problems.join('\n') });
  }
  return `${[...lines, ...actionLines].join('\n')}\n`;
}

function record(attributes: Readonly<Record<string, string>>): string {
  return `{ ${Object.entries(attributes)
    .map(([name, type]) => `${quote(name)}: ${type}`)
    .join(', ')} }`;
}

/** Names come from vocabularies, not from users; the quoting is for names like `copy-to`. */
function quote(name: string): string {
  return JSON.stringify(name);
}
