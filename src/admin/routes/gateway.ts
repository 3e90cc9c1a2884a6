import { json } from '../http.ts';
import { metricsText } from '../metrics.ts';
import { errorSchema } from '../openapi.ts';
import type { OwnCounts } from '../own-counts.ts';
import { reachable } from '../reach.ts';
import type { Route } from '../route.ts';
import { boolean, integer, list, object, oneOf, type Schema, string, text } from '../schema.ts';
import { eventSchema, principalSchema } from '../shapes.ts';

const healthSchema: Schema = object({ ready: boolean, parts: { type: 'object', additionalProperties: string } });

const clientFileSchema = object({ form: oneOf('section', 'line'), path: string, variable: string, key: string, entry: string });

export interface GatewayRoutesOptions {
  readonly counts: OwnCounts;
  readonly document: () => unknown;
}

/** About the gateway itself, and about whoever asks. */
export function gatewayRoutes({ counts, document }: GatewayRoutesOptions): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/api/v1/openapi.json',
      id: 'getDocument',
      summary: 'This document',
      access: 'open',
      replies: { 200: { description: 'OpenAPI 3.1', schema: { type: 'object' } } },
      handle: () => json(200, document()),
    },
    {
      method: 'GET',
      path: '/api/v1/health/live',
      id: 'live',
      summary: 'Whether the process answers',
      access: 'open',
      replies: { 200: { description: 'it does', schema: object({ live: boolean }) } },
      handle: () => json(200, { live: true }),
    },
    {
      method: 'GET',
      path: '/api/v1/health/ready',
      id: 'ready',
      summary: 'Whether the gateway takes connections, and if not which part of it fails',
      access: 'open',
      replies: {
        200: { description: 'it does', schema: healthSchema },
        503: { description: 'it does not', schema: healthSchema },
      },
      handle(call) {
        const health = call.services.health();
        return json(health.ready ? 200 : 503, health);
      },
    },
    {
      method: 'GET',
      path: '/metrics',
      id: 'metrics',
      summary: 'Metrics in the text format of Prometheus',
      access: 'metrics.read',
      replies: { 200: { description: 'the metrics', schema: string, type: 'text/plain' } },
      handle: async (call) => ({
        status: 200,
        type: 'text/plain; version=0.0.4; charset=utf-8',
        body: metricsText(await counts.metrics(call.services)),
        headers: [],
      }),
    },
    {
      method: 'GET',
      path: '/api/v1/whoami',
      id: 'whoami',
      summary: 'Who you are to the gateway, with the groups of your grants',
      access: 'logged-in',
      replies: { 200: { description: 'you', schema: principalSchema } },
      handle({ principal, csrf }) {
        const { kind, name, issuer, subject, groups, credential } = principal;
        return json(200, {
          kind,
          name,
          issuer,
          subject,
          groups,
          credential: { kind: credential.kind, id: credential.id, expiresAt: credential.expiresAt },
          csrf,
        });
      },
    },
    {
      method: 'GET',
      path: '/api/v1/resources',
      id: 'listResources',
      summary: 'What you may reach, as which account, with the line to type',
      access: 'logged-in',
      replies: {
        200: {
          description: 'the resources',
          schema: object({
            resources: list(
              object({
                name: string,
                kind: string,
                accounts: list(
                  object({
                    account: string,
                    default: boolean,
                    reachable: boolean,
                    line: { ...string, description: '{token}, {tokenFile} and {ca} stand for what the client knows' },
                    short: { ...string, description: 'once the files are written' },
                    files: list(clientFileSchema),
                  }),
                ),
              }),
            ),
          }),
        },
      },
      handle: (call) => json(200, { resources: reachable(call.services, call.bare) }),
    },
    {
      method: 'GET',
      path: '/api/v1/policy',
      id: 'getPolicy',
      summary: 'The policies in force',
      access: 'policy.read',
      replies: {
        200: {
          description: 'the snapshot and its policies',
          schema: object({
            snapshot: string,
            policies: list(object({ id: string, effect: oneOf('permit', 'forbid'), file: string, line: integer, hint: string })),
          }),
        },
      },
      handle: ({ services }) =>
        json(200, {
          snapshot: services.policy().snapshot,
          policies: (services.policies?.() ?? []).map(({ id, effect, file, line, hint }) => ({ id, effect, file, line, hint })),
        }),
    },
    {
      method: 'GET',
      path: '/api/v1/alerts',
      id: 'listAlerts',
      summary: 'The latest alerts of all gateways, newest first; complete is false while the control store is away',
      access: 'events.read',
      replies: { 200: { description: 'the alerts', schema: object({ alerts: list(eventSchema), complete: boolean }) } },
      handle: async (call) => json(200, await call.services.access.alerts.latest()),
    },
    {
      method: 'GET',
      path: '/api/v1/events',
      id: 'streamEvents',
      summary:
        'Live events over WebSocket, one JSON object a message. Closed with 4001 when you may no longer read them, and with 4008 when you read too slowly',
      access: 'events.read',
      query: { type: text(200, 'types wanted, with commas between them') },
      replies: { 101: { description: 'the stream begins' }, 426: { description: 'come with a WebSocket', schema: errorSchema } },
      handle: () => json(426, { error: { code: 'upgrade_required', message: 'connect with a WebSocket' } }, [['Upgrade', 'websocket']]),
    },
  ];
}
