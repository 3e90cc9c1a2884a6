import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

import { compilePolicies, decidePolicy, dropPolicies, listPolicies } from '../../native/binding/index.js';
import { GatewayError } from '../errors.ts';
import type { Decision, ObjectRef, Operation, PolicyEngine, Principal, Target } from './model.ts';
import { cedarSchema } from './schema.ts';
import type { ObjectType, ProtocolVocabulary } from './vocabulary.ts';

export interface PolicyFile {
  /** As problems name it, e.g. `policies/base.cedar`. */
  readonly name: string;
  readonly text: string;
}

export interface PolicySummary {
  readonly id: string;
  readonly effect: 'permit' | 'forbid';
  readonly file: string;
  readonly line: number;
  readonly hint: string;
}

/** What decidePolicy answers. */
interface Answer {
  readonly allow: boolean;
  readonly policies: readonly string[];
  readonly errors: readonly string[];
}

/** Decides by the Cedar policies of one directory. Immutable: to reload, load another and `close` this one. */
export class CedarEngine implements PolicyEngine {
  readonly snapshot: string;
  readonly policies: readonly PolicySummary[];
  readonly #id: number;
  readonly #hints: ReadonlyMap<string, string>;
  readonly #objectTypes: ReadonlyMap<string, ObjectType>;

  /** Throws GatewayError `policy_invalid` with one line per problem, `file:line:column: message; hint`. */
  constructor(files: readonly PolicyFile[], vocabularies: readonly ProtocolVocabulary[]) {
    const schema = cedarSchema(vocabularies);
    try {
      this.#id = compilePolicies(JSON.stringify({ schema, files }));
    } catch (error) {
      throw invalid(error instanceof Error ? error.message : String(error), error);
    }
    this.policies = JSON.parse(listPolicies(this.#id)) as PolicySummary[];
    this.#hints = new Map(this.policies.filter((policy) => policy.hint !== '').map((policy) => [policy.id, policy.hint]));
    this.#objectTypes = new Map(vocabularies.flatMap((vocabulary) => vocabulary.objectTypes.map((type) => [type.name, type])));
    this.snapshot = snapshotOf(schema, files);
  }

  /** Frees the native side. Decisions after this are denials. */
  close(): void {
    dropPolicies(this.#id);
  }

  /**
   * Every object is authorized with its own action. The operation's own action is authorized too: on the resource, unless one of
   * the objects carries it. So `COPY t TO PROGRAM` needs `copy_to` on the table and `copy_program` on the resource. All
   * must allow; the first that does not decides. Allowed: the policies of all, in order, once each.
   */
  decide(principal: Principal, target: Target, operation: Operation): Decision {
    // The parts that all requests of this operation share are serialized once.
    const who = `{"principal":${JSON.stringify({ type: principal.kind === 'user' ? 'User' : 'Service', id: principal.name })},"groups":${JSON.stringify(principal.groups)}`;
    const context = JSON.stringify({ ...operation.attributes, account: target.account, resource: target.resource, kind: target.kind });
    const allowedBy = new Set<string>();
    let ownActionDone = false;
    for (const object of operation.objects) {
      ownActionDone ||= object.action === operation.action;
      const resource = this.#describe(target, object);
      if (resource === null) return this.#failed(`objects of type ${object.type} are unknown to policy`);
      const denied = this.#one(
        `${who},"action":${JSON.stringify(object.action)},"resource":${resource},"context":${context}}`,
        object.action,
        object.path,
        allowedBy,
      );
      if (denied !== null) return denied;
    }
    if (!ownActionDone) {
      const resource = JSON.stringify({ type: 'Resource', id: target.resource });
      const denied = this.#one(
        `${who},"action":${JSON.stringify(operation.action)},"resource":${resource},"context":${context}}`,
        operation.action,
        target.resource,
        allowedBy,
      );
      if (denied !== null) return denied;
    }
    return { kind: 'allow', policies: [...allowedBy], snapshot: this.snapshot };
  }

  #one(request: string, action: string, object: string, allowedBy: Set<string>): Decision | null {
    let answer: Answer;
    try {
      answer = JSON.parse(decidePolicy(this.#id, request)) as Answer;
    } catch (error) {
      return this.#failed(error instanceof Error ? error.message : String(error));
    }
    if (answer.allow) {
      for (const id of answer.policies) allowedBy.add(id);
      return null;
    }
    if (answer.errors.length > 0) return this.#failed(answer.errors.join('; '), answer.policies);
    const forbidden = answer.policies.length > 0;
    const hint = answer.policies.map((id) => this.#hints.get(id)).find((text) => text !== undefined);
    return {
      kind: 'deny',
      policies: answer.policies,
      snapshot: this.snapshot,
      reason: forbidden ? 'forbidden' : 'no-permit',
      message: forbidden
        ? `${action} on ${object} is forbidden by policy ${answer.policies.join(', ')}`
        : `no policy permits ${action} on ${object}`,
      hint: hint ?? (forbidden ? '' : 'ask for membership in a group that may do this'),
    };
  }

  #failed(why: string, policies: readonly string[] = []): Decision {
    return {
      kind: 'deny',
      policies,
      snapshot: this.snapshot,
      reason: 'error',
      message: `the policy decision failed: ${why}`,
      hint: 'tell whoever runs the gateway: this is an error in its policies, not in the request',
    };
  }

  /** The object as the request's `resource`, or null for a type no vocabulary has. */
  #describe(target: Target, object: ObjectRef): string | null {
    const type = this.#objectTypes.get(object.type);
    if (type === undefined) return null;
    const { attributes, parents } = type.describe(object.path);
    return JSON.stringify({
      type: object.type,
      id: `${target.resource}/${object.path}`,
      parents: [
        ...parents.map((parent) => ({ type: parent.type, id: `${target.resource}/${parent.path}` })),
        { type: 'Resource', id: target.resource },
      ],
      attrs: attributes,
    });
  }
}

/**
 * Loads every `*.cedar` file of a directory, in order of name. `label` is the directory as problems should name it.
 * Throws GatewayError `policy_invalid`: unreadable, no policies at all, or problems in them.
 */
export function loadPolicies(dir: string, vocabularies: readonly ProtocolVocabulary[], label = dir): CedarEngine {
  let files: PolicyFile[];
  try {
    const names = readdirSync(dir)
      .filter((name) => name.endsWith('.cedar'))
      .sort();
    files = names.map((name) => ({
      name: join(label, name),
      text: new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(join(dir, name))),
    }));
  } catch (error) {
    throw invalid(`${label}: cannot read the policies: ${error instanceof Error ? error.message : String(error)}`, error);
  }
  // Without policies everything is denied: surely not meant, so say it at start and not at the first statement.
  if (files.length === 0) throw invalid(`${label}: no *.cedar file here; without policies everything is denied`);
  return new CedarEngine(files, vocabularies);
}

/** SHA-256 over the schema and each file's base name and text, every part preceded by its length. The directory does not count. */
function snapshotOf(schema: string, files: readonly PolicyFile[]): string {
  const hash = createHash('sha256');
  for (const part of [schema, ...files.flatMap((file) => [basename(file.name), file.text])]) {
    hash.update(`${Buffer.byteLength(part)}:`).update(part);
  }
  return hash.digest('hex');
}

function invalid(message: string, cause?: unknown): GatewayError {
  return new GatewayError({
    code: 'policy_invalid',
    source: 'gateway',
    phase: 'config',
    publicMessage: message,
    ...(cause === undefined ? {} : { cause }),
  });
}
