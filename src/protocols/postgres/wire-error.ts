import type { GatewayError } from '../../errors.ts';
import { type ErrorFields, errorResponse } from './messages.ts';

/** SQLSTATE for each code a GatewayError can carry here (PostgreSQL documentation, appendix A). */
const SQLSTATE: Readonly<Record<string, string>> = {
  account_unknown: '3D000',
  denied: '42501',
  frame_invalid: '08P01',
  frame_too_large: '54000',
  grant_expired: '28000',
  grant_revoked: '28000',
  issuer_unavailable: '58000',
  issuer_unknown: '28P01',
  key_unknown: '28P01',
  login_failed: '28P01',
  login_timeout: '57014',
  mask_failed: '58000',
  plaintext_refused: '28000',
  record_failed: '58030',
  resource_unknown: '3D000',
  revoked: '28000',
  row_budget: '54000',
  session_idle: '57P05',
  session_killed: '57P01',
  setting_refused: '22023',
  setting_changed: '55P02',
  shutting_down: '57P01',
  too_many_logins: '53300',
  too_many_sessions: '53300',
  unsupported: '0A000',
  upstream_auth_failed: '08004',
  upstream_lost: '08006',
  upstream_protocol: '08P01',
  upstream_refused: '08004',
  upstream_tls_failed: '08001',
  upstream_tls_refused: '08001',
  upstream_unreachable: '08001',
};

export function sqlstate(code: string): string {
  if (code.startsWith('token_')) return '28P01';
  if (code.startsWith('oauth_')) return '28000';
  return SQLSTATE[code] ?? 'XX000';
}

/** A GatewayError in the protocol's own form. */
export function wireError(error: GatewayError, severity: ErrorFields['severity']): Buffer {
  return errorResponse({ severity, code: sqlstate(error.code), message: error.publicMessage, hint: error.hint });
}
