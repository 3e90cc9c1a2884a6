import { GatewayError } from '../../errors.ts';
import type { Outbox } from '../../io/outbox.ts';
import { maskString } from './error-mask.ts';
import { Back, cstringEnd, message, parameterStatus } from './messages.ts';
import { broken } from './server-pump.ts';
import type { SessionState } from './session-state.ts';
import { keepsPinned, PINNED_SETTINGS } from './settings.ts';

/** Messages that the server sends when it likes, and that answer nothing. */

/** Throws GatewayError `setting_changed` when a setting on which the reading of statements depends has another value. */
export function relayParameterStatus(state: SessionState, bytes: Buffer, at: number, end: number, out: Outbox): void {
  const nameEnd = cstringEnd(bytes, at + 5, end);
  if (nameEnd === -1) throw broken('a parameter status that cannot be read');
  const name = bytes.toString('utf8', at + 5, nameEnd);
  const value = bytes.toString('utf8', nameEnd + 1, end - 1);
  if (PINNED_SETTINGS.has(name) && !keepsPinned(name, value)) {
    throw new GatewayError({
      code: 'setting_changed',
      source: 'upstream',
      phase: 'classify',
      publicMessage: `"${name}" was changed on the server: statements can no longer be read safely`,
    });
  }
  state.parameters.set(name, value);
  out.insert(parameterStatus(name, maskString(state, value)));
  state.takeCounts(null);
}

export function relayNotification(state: SessionState, bytes: Buffer, at: number, end: number, out: Outbox): void {
  const pid = bytes.subarray(at + 5, at + 9);
  const channelEnd = cstringEnd(bytes, at + 9, end);
  if (channelEnd === -1) throw broken('a notification that cannot be read');
  const channel = bytes.toString('utf8', at + 9, channelEnd);
  const payload = maskString(state, bytes.toString('utf8', channelEnd + 1, end - 1));
  state.takeCounts(null);
  out.insert(message(Back.NotificationResponse, pid, `${maskString(state, channel)}\0${payload}\0`));
}
