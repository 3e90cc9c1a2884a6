import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

import { compilePolicies, decidePolicy, dropPolicies, listPolicies } from '../../native/binding/index.js';
import { GatewayError } from '../errors.ts';
import { authAge, type Evidence, evidenceOf } from './evidence.ts';
import type { ApproverGroup, Decision, ObjectRef, Operation, PolicyEngine, Principal, Target } from './model.ts';
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
  /** Groups whose approval lifts it. */
  readonly approvers: readonly ApproverGroup[];
}

export interface EngineOptions {
  /** Names of all resources: policies that name another one are refused. Absent: names are not checked. */
  readonly resources?: readonly string[];
  /** Values of the claim `acr` that stand for several factors. */
  readonly mfaClasses?: readonly string[];
  /** ms since the epoch. */
  readonly now?: () => number;
  /** How many decisions are remembered at most; 0 makes every one anew. */
  readonly remember?: number;
}

/** What decidePolicy answers. */
interface Answer {
  readonly kind: Decision['kind'];
  readonly policies: readonly string[];
  /** Index of the part that is not allowed. */
  readonly part: number;
  readonly approvers: readonly ApproverGroup[];
  readonly errors: readonly string[];
}

/** What is the same for all operations of a principal: the beginning of its requests, and of their context. */
interface Known {
  /** Of `who` and `facts`. */
  readonly id: number;
  readonly who: string;
  readonly evidence: Evidence;
  readonly facts: string;
}

/** What is the same for all operations on a target. */
interface KnownTarget {
  /** Of `facts`. */
  readonly id: number;
  /** Its name as JSON. */
  readonly resource: string;
  /** Members of the context. */
  readonly facts: string;
  /** Parts of requests that have been described, by object and action. */
  readonly parts: Map<string, Part>;
}

/** A part of a request. */
interface Part {
  readonly id: number;
  readonly text: string;
}

/** Objects of one target whose descriptions are kept. */
const DESCRIBED = 1024;
/** Decisions are remembered by everything that policies can see; longer requests are rare, and not kept. */
const REMEMBERED = 4096;
const REMEMBERED_LENGTH = 4096;

/** Decides by the Cedar policies of one directory. Immutable: to reload, load another and `close` this one. */
export class CedarEngine implements PolicyEngine {
  readonly snapshot: string;
  readonly policies: readonly PolicySummary[];
  readonly #id: number;
  readonly #hints: ReadonlyMap<string, string>;
  readonly #objectTypes: ReadonlyMap<string, ObjectType>;
  readonly #mfaClasses: readonly string[];
  readonly #remember: number;
  /** Null when no policy asks how long ago somebody logged in: then decisions do not depend on the time. */
  readonly #now: (() => number) | null;
  readonly #known = new WeakMap<Principal, Known>();
  readonly #targets = new WeakMap<Target, KnownTarget>();
  readonly #remembered = new Map<string, Answer>();
  /** Ids of texts. One that is forgotten gets another id: none stands for two texts, ever. */
  readonly #ids = new Map<string, number>();
  #lastId = 0;
  #closed = false;

  /** Throws GatewayError `policy_invalid` with one line per problem, `file:line:column: message; hint`. */
  constructor(files: readonly PolicyFile[], vocabularies: readonly ProtocolVocabulary[], options: EngineOptions = {}) {
    const schema = cedarSchema(vocabularies);
    const { resources, mfaClasses = [], now = Date.now, remember = REMEMBERED } = options;
    try {
      this.#id = compilePolicies(JSON.stringify({ schema, files, resources }));
    } catch (error) {
      throw invalid(error instanceof Error ? error.message : String(error), error);
    }
    this.policies = JSON.parse(listPolicies(this.#id)) as PolicySummary[];
    this.#hints = new Map(this.policies.filter((policy) => policy.hint !== '').map((policy) => [policy.id, policy.hint]));
    this.#objectTypes = new Map(vocabularies.flatMap((vocabulary) => vocabulary.objectTypes.map((type) => [type.name, type])));
    this.#mfaClasses = mfaClasses;
    this.#remember = remember;
    this.#now = files.some((file) => file.text.includes('authAge')) ? now : null;
    this.snapshot = snapshotOf(schema, files);
  }

  /** Frees the native side. Decisions after this are denials. */
  close(): void {
    this.#closed = true;
    this.#remembered.clear();
    dropPolicies(this.#id);
  }

  scope(principal: Principal): string {
    const { who, evidence, facts } = this.#knownOf(principal);
    return `${who}${facts}${this.#authAge(evidence)}`;
  }

  /**
   * Every object is authorized with its own action. The operation's own action is authorized too: on the resource, unless one of
   * the objects carries it. So `COPY t TO PROGRAM` needs `copy_to` on the table and `copy_program` on the resource. All must
   * allow; the first that nobody's approval would allow denies. Allowed: the policies of all, in order, once each.
   */
  decide(principal: Principal, target: Target, operation: Operation, approvedBy: readonly string[] = []): Decision {
    const { id, who, evidence, facts } = this.#knownOf(principal);
    const known = this.#knownTarget(target);
    let parts = '';
    let ids = '';
    let ownActionDone = false;
    for (const object of operation.objects) {
      ownActionDone ||= object.action === operation.action;
      const part = this.#part(target, known, object);
      if (part === null) return this.#failed(`objects of type ${object.type} are unknown to policy`);
      parts += parts === '' ? part.text : `,${part.text}`;
      ids += `,${part.id}`;
    }
    if (!ownActionDone) {
      const part = this.#ownPart(known, operation.action);
      parts += parts === '' ? part.text : `,${part.text}`;
      ids += `,${part.id}`;
    }
    const attributes = JSON.stringify(operation.attributes);
    const granted = principal.groups.includes(`${target.resource}/${target.account}`);
    const approvals = approvedBy.length === 0 ? '' : `,"approvedBy":${JSON.stringify(approvedBy)}`;
    const age = this.#authAge(evidence);
    // Ids instead of the texts that seldom change: everything that policies can see, in a fraction of the length.
    const key = `${id},${known.id},${granted},${age}${ids};${attributes}${approvals}`;
    const answer = this.#ask(key, () => {
      // Of names that are there twice the last one counts: what the operation says of itself cannot replace what is known here.
      const stated = attributes.length > 2 ? `${attributes.slice(0, -1)},` : '{';
      const context = `${stated}${known.facts},"granted":${granted},"authAge":${age},${facts}}`;
      return `${who},"context":${context}${approvals},"parts":[${parts}]}`;
    });
    return typeof answer === 'string' ? this.#failed(answer) : this.#decision(answer, target, operation);
  }

  /** @param key stands for the request: two that are the same have one request. */
  #ask(key: string, request: () => string): Answer | string {
    // A closed engine has nothing to go by, whatever it remembers.
    if (this.#closed) return 'the policies are no longer in force';
    const remembered = this.#remembered.get(key);
    if (remembered !== undefined) return remembered;
    let answer: Answer;
    try {
      answer = JSON.parse(decidePolicy(this.#id, request())) as Answer;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
    if (key.length <= REMEMBERED_LENGTH && this.#remember > 0) {
      if (this.#remembered.size >= this.#remember) this.#remembered.clear();
      this.#remembered.set(key, answer);
    }
    return answer;
  }

  #decision(answer: Answer, target: Target, operation: Operation): Decision {
    const { kind, policies, approvers } = answer;
    if (kind === 'allow') return { kind, policies, snapshot: this.snapshot };
    if (answer.errors.length > 0) return this.#failed(answer.errors.join('; '), policies);
    const object = operation.objects[answer.part];
    // A question about the gateway itself names no resource.
    const place = target.resource === '' ? 'the gateway' : target.resource;
    const what = object === undefined ? `${operation.action} on ${place}` : `${object.action} on ${object.path}`;
    const hint = policies.map((id) => this.#hints.get(id)).find((text) => text !== undefined);
    if (kind === 'approve') {
      const by = approvers.map(({ group, needed }) => (needed === 1 ? group : `${needed} of ${group}`)).join(' and ');
      return {
        kind,
        policies,
        snapshot: this.snapshot,
        approvers,
        message: `${what} needs approval by ${by}`,
        hint: hint ?? `ask ${by} to approve it`,
      };
    }
    const forbidden = policies.length > 0;
    return {
      kind: 'deny',
      policies,
      snapshot: this.snapshot,
      reason: forbidden ? 'forbidden' : 'no-permit',
      message: forbidden ? `${what} is forbidden by policy ${policies.join(', ')}` : `no policy permits ${what}`,
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

  #knownOf(principal: Principal): Known {
    let known = this.#known.get(principal);
    if (known === undefined) {
      const evidence = evidenceOf(principal, this.#mfaClasses);
      const { mfa, acr, amr } = evidence;
      const facts = JSON.stringify({ issuer: principal.issuer, mfa, acr, amr });
      const who = `{"principal":${JSON.stringify({ type: principal.kind === 'user' ? 'User' : 'Service', id: principal.name })},"groups":${JSON.stringify(principal.groups)}`;
      known = { id: this.#idOf(`${who}${facts}`), who, evidence, facts: facts.slice(1, -1) };
      this.#known.set(principal, known);
    }
    return known;
  }

  #knownTarget(target: Target): KnownTarget {
    let known = this.#targets.get(target);
    if (known === undefined) {
      const resource = JSON.stringify(target.resource);
      const facts = `"account":${JSON.stringify(target.account)},"resource":${resource},"kind":${JSON.stringify(target.kind)}`;
      known = { id: this.#idOf(facts), resource, facts, parts: new Map() };
      this.#targets.set(target, known);
    }
    return known;
  }

  #authAge(evidence: Evidence): number {
    return this.#now === null ? -1 : authAge(evidence, this.#now());
  }

  /** The object with its action as a part of the request, or null for a type no vocabulary has. */
  #part(target: Target, known: KnownTarget, object: ObjectRef): Part | null {
    const { type, path, action } = object;
    // With the length no path can be taken for another one and its action.
    const key = `${type} ${path.length} ${path}${action}`;
    const kept = known.parts.get(key);
    if (kept !== undefined) return kept;
    const described = this.#describe(target, object);
    if (described === null) return null;
    return this.#keepPart(known, key, `{"action":${JSON.stringify(action)},"resource":${described}}`);
  }

  /** The same for the operation's own action on the resource. */
  #ownPart(known: KnownTarget, action: string): Part {
    // No type is without a name.
    const key = ` ${action}`;
    return (
      known.parts.get(key) ??
      this.#keepPart(known, key, `{"action":${JSON.stringify(action)},"resource":{"type":"Resource","id":${known.resource}}}`)
    );
  }

  #keepPart(known: KnownTarget, key: string, text: string): Part {
    const part = { id: this.#idOf(text), text };
    if (key.length <= REMEMBERED_LENGTH) {
      if (known.parts.size >= DESCRIBED) known.parts.clear();
      known.parts.set(key, part);
    }
    return part;
  }

  #idOf(text: string): number {
    let id = this.#ids.get(text);
    if (id === undefined) {
      id = ++this.#lastId;
      if (text.length > REMEMBERED_LENGTH) return id;
      if (this.#ids.size >= REMEMBERED) this.#ids.clear();
      this.#ids.set(text, id);
    }
    return id;
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
 * The `*.cedar` files of a directory, in order of name. `label` is the directory as problems should name it. Throws GatewayError
 * `policy_invalid`: unreadable, or no policies at all.
 */
export function readPolicies(dir: string, label = dir): PolicyFile[] {
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
  return files;
}

/** Loads the policies of a directory. Throws GatewayError `policy_invalid`: as readPolicies, or problems in them. */
export function loadPolicies(
  dir: string,
  vocabularies: readonly ProtocolVocabulary[],
  label = dir,
  options: EngineOptions = {},
): CedarEngine {
  return new CedarEngine(readPolicies(dir, label), vocabularies, options);
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
