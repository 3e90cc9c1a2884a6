import { compilePolicies, decidePolicy, dropPolicies, listPolicies } from '../../native/binding/index.js';
import { invalid, type PolicyFile, readPolicies, snapshotOf } from './files.ts';
import type { ApproverGroup, Decision, Operation, PolicyEngine, Principal, Target } from './model.ts';
import { type PolicyRequest, PolicyRequests } from './requests.ts';
import { cedarSchema } from './schema.ts';
import type { ProtocolVocabulary } from './vocabulary.ts';

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

/** Decisions are remembered by everything that policies can see; longer requests are rare, and not kept. */
const REMEMBERED = 4096;
const REMEMBERED_LENGTH = 4096;

/** Decides by the Cedar policies of one directory. Immutable: to reload, load another and `close` this one. */
export class CedarEngine implements PolicyEngine {
  readonly snapshot: string;
  readonly policies: readonly PolicySummary[];
  readonly #id: number;
  readonly #hints: ReadonlyMap<string, string>;
  readonly #requests: PolicyRequests;
  readonly #remember: number;
  readonly #remembered = new Map<string, Answer>();
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
    // One that spells it otherwise (escapes in a text) reads the age of a log-in that is not known.
    const asksTime = files.some((file) => file.text.includes('authAge'));
    this.#requests = new PolicyRequests(vocabularies, mfaClasses, asksTime ? now : null);
    this.#remember = remember;
    this.snapshot = snapshotOf(schema, files);
  }

  /** Frees the native side. Decisions after this are denials. */
  close(): void {
    this.#closed = true;
    this.#remembered.clear();
    dropPolicies(this.#id);
  }

  scope(principal: Principal): string {
    return this.#requests.scope(principal);
  }

  /**
   * Every object is authorized with its own action. The operation's own action is authorized too: on the resource, unless one of
   * the objects carries it. So `COPY t TO PROGRAM` needs `copy_to` on the table and `copy_program` on the resource. All must
   * allow; the first that nobody's approval would allow denies. Allowed: the policies of all, in order, once each.
   */
  decide(principal: Principal, target: Target, operation: Operation, approvedBy: readonly string[] = []): Decision {
    const request = this.#requests.of(principal, target, operation, approvedBy);
    if (typeof request === 'string') return this.#failed(`objects of type ${request} are unknown to policy`);
    const answer = this.#ask(request);
    return typeof answer === 'string' ? this.#failed(answer) : this.#decision(answer, target, operation);
  }

  /** What policies say, or why they could not be asked. */
  #ask({ key, text }: PolicyRequest): Answer | string {
    // A closed engine has nothing to go by, whatever it remembers.
    if (this.#closed) return 'the policies are no longer in force';
    const remembered = this.#remembered.get(key);
    if (remembered !== undefined) return remembered;
    let answer: Answer;
    try {
      answer = JSON.parse(decidePolicy(this.#id, text())) as Answer;
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
