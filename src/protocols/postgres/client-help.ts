import type { ClientHelp, ClientHelpRequest } from '../../access/client-help.ts';

/**
 * What libpq's programs and drivers need: connection parameters as a line, as a service of pg_service.conf, and the token as
 * a password of .pgpass. Always with the certificate checked in full: the token is the password, and whoever else got it could use it.
 */
export function clientHelp({ resource, account, user, host, port }: ClientHelpRequest): ClientHelp {
  const login = account === null ? user : `${user}+${account}`;
  const service = account === null ? `sluice-${resource}` : `sluice-${resource}-${account}`;
  const parameters: readonly (readonly [string, string])[] = [
    ['host', host],
    ['port', String(port)],
    ['dbname', resource],
    ['user', login],
    ['sslmode', 'verify-full'],
    ['sslrootcert', '{ca}'],
  ];
  const password = [host, String(port), resource, login].map(passwordField).join(':');
  return {
    line: `PGPASSWORD="$(cat {tokenFile})" psql "${parameters.map(([name, value]) => `${name}=${quoted(value)}`).join(' ')}"`,
    short: `psql service=${service}`,
    files: [
      {
        form: 'section',
        path: '.pg_service.conf',
        variable: 'PGSERVICEFILE',
        key: service,
        entry: [`[${service}]`, ...parameters.map(([name, value]) => `${name}=${value}`)].join('\n'),
      },
      { form: 'line', path: '.pgpass', variable: 'PGPASSFILE', key: `${password}:`, entry: `${password}:{token}` },
    ],
  };
}

/** A value of a connection string inside double quotes of a shell. Names are checked when they are configured or issued. */
function quoted(value: string): string {
  return /^[A-Za-z0-9_.@:+{}/-]*$/.test(value) ? value : `'${value.replace(/[\\']/g, '\\$&').replace(/["$`]/g, '\\$&')}'`;
}

function passwordField(value: string): string {
  return value.replace(/[\\:]/g, '\\$&');
}
