import { actionOf, type Route } from './route.ts';
import { object, type Schema, string, strings } from './schema.ts';

/** What every error is answered with. */
export const errorSchema: Schema = object(
  {
    error: object(
      {
        code: { ...string, description: 'stable, for programs' },
        message: string,
        hint: string,
        policies: { ...strings, description: 'the policies that decided, when one refused it' },
        id: { ...string, description: 'of the line in the log of the gateway' },
      },
      ['hint', 'policies', 'id'],
    ),
  },
  [],
);

/** The OpenAPI 3.1 document of the routes: made from the same table that requests are answered by. */
export function openapi(routes: readonly Route[], version: string, url: string): Record<string, unknown> {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of routes) {
    paths[route.path] ??= {};
    const path = paths[route.path];
    if (path !== undefined) path[route.method.toLowerCase()] = operation(route);
  }
  return {
    openapi: '3.1.0',
    info: { title: 'Sluice', version, description: 'Access, approvals, grants, sessions and the record of a Sluice gateway.' },
    servers: [{ url }],
    paths,
    components: {
      schemas: { Error: errorSchema },
      securitySchemes: {
        token: { type: 'http', scheme: 'bearer', description: 'a token of the gateway, or one that it accepts' },
        session: { type: 'apiKey', in: 'cookie', name: '__Host-sluice', description: 'a browser; changes also need X-CSRF-Token' },
      },
    },
  };
}

function operation(route: Route): Record<string, unknown> {
  const inPath = [...route.path.matchAll(/\{([^}]+)\}/g)].map((match) => match[1] ?? '');
  const parameters = [
    ...inPath.map((name) => ({ name, in: 'path', required: true, schema: string })),
    ...Object.entries(route.query ?? {})
      .filter(([name]) => name !== '*')
      .map(([name, schema]) => ({ name, in: 'query', required: false, schema })),
  ];
  const action = actionOf(route);
  const replies = Object.entries(route.replies).map(([status, { description, schema, type }]) => [
    status,
    { description, ...(schema === undefined ? {} : { content: { [type ?? 'application/json']: { schema } } }) },
  ]);
  return {
    operationId: route.id,
    summary: route.summary,
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(route.body === undefined ? {} : { requestBody: { required: true, content: { 'application/json': { schema: route.body } } } }),
    ...(route.form === undefined ? {} : { requestBody: { required: true, content: { [route.form]: { schema: { type: 'object' } } } } }),
    responses: {
      ...Object.fromEntries(replies),
      default: { description: 'an error', content: { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } } },
    },
    security: route.access === 'open' ? [] : [{ token: [] }, { session: [] }],
    ...(action === null ? {} : { 'x-sluice-action': action }),
  };
}
