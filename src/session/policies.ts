import type { Events } from '../access/model.ts';
import type { Config } from '../config/model.ts';
import type { EngineOptions } from '../policy/engine.ts';
import { PolicyReloader, type ReloadOutcome } from '../policy/reload.ts';
import type { ProtocolLog } from '../protocols/protocol.ts';
import { vocabularies } from '../protocols/registry.ts';
import { jsonString } from '../recording/json.ts';
import type { Recorder } from '../recording/model.ts';

/** What the configuration says that policies are checked against and decided with. */
export function engineOptions(config: Pick<Config, 'resources' | 'identity'>): EngineOptions {
  return { resources: config.resources.map(({ name }) => name), mfaClasses: config.identity.mfaClasses };
}

/** Lines of problems that go into the record; all of them are in the log. */
const RECORDED_PROBLEMS = 20;

/** The policies of a gateway, which follow their directory once `begin` is called: what comes of a change is recorded and logged. */
export class GatewayPolicies {
  readonly #reloader: PolicyReloader;
  readonly #log: ProtocolLog;
  #recorder: Recorder | null = null;
  #events: Events | null = null;

  /** Throws GatewayError `policy_invalid`. */
  constructor(config: Config, log: ProtocolLog) {
    this.#log = log;
    this.#reloader = new PolicyReloader({
      dir: config.policies,
      vocabularies,
      engine: engineOptions(config),
      onOutcome: (outcome) => this.#tell(outcome),
    });
  }

  get current(): PolicyReloader['current'] {
    return this.#reloader.current;
  }

  begin(recorder: Recorder, events: Events): void {
    this.#recorder = recorder;
    this.#events = events;
    this.#reloader.watch();
  }

  /** Reads the directory now, because somebody asked to. */
  reload(): ReloadOutcome {
    const outcome = this.#reloader.reload();
    this.#tell(outcome);
    return outcome;
  }

  close(): void {
    this.#reloader.close();
  }

  #tell(outcome: ReloadOutcome): void {
    if (outcome.kind === 'unchanged') {
      this.#log.info('policies unchanged', { snapshot: outcome.snapshot });
      return;
    }
    let members = `"event":"policy.${outcome.kind}","snapshot":${jsonString(outcome.snapshot)}`;
    if (outcome.kind === 'reloaded') {
      members += `,"before":${jsonString(outcome.before)}`;
      this.#log.info('policies reloaded', { snapshot: outcome.snapshot, before: outcome.before });
    } else {
      members += `,"problems":[${outcome.problems.slice(0, RECORDED_PROBLEMS).map(jsonString).join(',')}]`;
      this.#log.error('policies refused: those before stay in force', { problems: outcome.problems, snapshot: outcome.snapshot });
    }
    const line = this.#recorder?.append('config', '', members) ?? 0;
    const detail = { event: `policy.${outcome.kind}`, snapshot: outcome.snapshot };
    this.#events?.emit({ type: 'config', sid: '', user: '', resource: '', line, detail });
    if (outcome.kind === 'refused')
      this.#events?.emit({ type: 'control.failed', sid: '', user: '', resource: '', line, detail: { control: 'policies' } });
  }
}
