import { authAge, type Evidence, evidenceOf, UNKNOWN_AGE } from './evidence.ts';
import type { ObjectRef, Operation, Principal, Target } from './model.ts';
import type { ObjectType, ProtocolVocabulary } from './vocabulary.ts';

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

/** What is asked of the policies: one object with its action, or the operation's own action on the resource. */
interface Part {
  readonly id: number;
  readonly text: string;
}

/** A question to the policies. */
export interface PolicyRequest {
  /**
   * Stands for the request: two with the same key have one text. Ids instead of the texts that seldom change: everything that
   * policies can see, in a fraction of the length.
   */
  readonly key: string;
  /** The request as decidePolicy reads it. Made only when it is not known what policies say. */
  readonly text: () => string;
}

/** Objects of one target whose descriptions are kept. */
const DESCRIBED = 1024;
/** Texts that are kept: longer ones are rare. */
const KEPT = 4096;
const KEPT_LENGTH = 4096;

/** Puts operations in the terms of policies, and keeps what many of them share. */
export class PolicyRequests {
  readonly #objectTypes: ReadonlyMap<string, ObjectType>;
  readonly #mfaClasses: readonly string[];
  /** Null when no policy asks how long ago somebody logged in: then decisions do not depend on the time. */
  readonly #now: (() => number) | null;
  readonly #known = new WeakMap<Principal, Known>();
  readonly #targets = new WeakMap<Target, KnownTarget>();
  /** Ids of texts. One that is forgotten gets another id: none stands for two texts, ever. */
  readonly #ids = new Map<string, number>();
  #lastId = 0;

  /** @param mfaClasses values of the claim `acr` that stand for several factors. @param now ms since the epoch; null: nobody asks. */
  constructor(vocabularies: readonly ProtocolVocabulary[], mfaClasses: readonly string[], now: (() => number) | null) {
    this.#objectTypes = new Map(vocabularies.flatMap((vocabulary) => vocabulary.objectTypes.map((type) => [type.name, type])));
    this.#mfaClasses = mfaClasses;
    this.#now = now;
  }

  /** Everything of a principal that decisions depend on. */
  scope(principal: Principal): string {
    const { who, evidence, facts } = this.#knownOf(principal);
    return `${who}${facts}${this.#authAge(evidence)}`;
  }

  /** The request, or the name of an object's type that no vocabulary has. */
  of(principal: Principal, target: Target, operation: Operation, approvedBy: readonly string[]): PolicyRequest | string {
    const { id, who, evidence, facts } = this.#knownOf(principal);
    const known = this.#knownTarget(target);
    let parts = '';
    let ids = '';
    let ownActionDone = false;
    for (const object of operation.objects) {
      ownActionDone ||= object.action === operation.action;
      const part = this.#part(target, known, object);
      if (part === null) return object.type;
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
    const text = (): string => {
      // Of names that are there twice the last one counts: what the operation says of itself cannot replace what is known here.
      const stated = attributes.length > 2 ? `${attributes.slice(0, -1)},` : '{';
      const context = `${stated}${known.facts},"granted":${granted},"authAge":${age},${facts}}`;
      return `${who},"context":${context}${approvals},"parts":[${parts}]}`;
    };
    return { key: `${id},${known.id},${granted},${age}${ids};${attributes}${approvals}`, text };
  }

  #authAge(evidence: Evidence): number {
    return this.#now === null ? UNKNOWN_AGE : authAge(evidence, this.#now());
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
    if (key.length <= KEPT_LENGTH) {
      if (known.parts.size >= DESCRIBED) known.parts.clear();
      known.parts.set(key, part);
    }
    return part;
  }

  #idOf(text: string): number {
    let id = this.#ids.get(text);
    if (id === undefined) {
      id = ++this.#lastId;
      if (text.length > KEPT_LENGTH) return id;
      if (this.#ids.size >= KEPT) this.#ids.clear();
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
