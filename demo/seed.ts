import pg from 'pg';
import { luhnValid, makePan, pick, pickBrand, seeded } from './cards.ts';

/** The sample target: a small payments database whose content depends on the seed alone. */

export interface SeedOptions {
  readonly seed?: number;
  readonly customers?: number;
  readonly cards?: number;
  readonly orders?: number;
  readonly database?: string;
}

export interface Seeded {
  readonly database: string;
  /** The target accounts that the gateway uses; users never see these passwords. */
  readonly accounts: { readonly readOnly: Login; readonly readWrite: Login };
  /** What was generated, for tests that look for a leak: every number and verification value. */
  readonly cards: readonly SeededCard[];
}

export interface Login {
  readonly user: string;
  readonly password: string;
}

export interface SeededCard {
  readonly id: number;
  readonly pan: string;
  readonly brand: string;
  readonly cvv: string;
  readonly holder: string;
}

const schema = `
create table customers (
  id bigint primary key, name text not null, email text not null unique, country char(2) not null, since date not null);
create table cards (
  id bigint primary key, customer_id bigint not null references customers, brand text not null,
  pan text not null unique, expiry char(5) not null, cvv text not null, holder text not null,
  constraint cards_pan_digits check (pan ~ '^[0-9]{12,19}$'));
create table orders (
  id bigint primary key, customer_id bigint not null references customers, card_id bigint not null references cards,
  amount numeric(10,2) not null, currency char(3) not null, status text not null, placed_at timestamptz not null, note text not null);
`;

const afterLoad = `
create index on cards (customer_id);
create index on orders (customer_id);
create view payments as
  select o.id, o.placed_at, c.name as customer, k.brand, k.pan as card_number, o.amount, o.currency, o.status
  from orders o join customers c on c.id = o.customer_id join cards k on k.id = o.card_id;
grant usage on schema public to app_ro, app_rw;
grant select on all tables in schema public to app_ro, app_rw;
grant insert, update, delete, truncate on all tables in schema public to app_rw;
grant create on schema public to app_rw;
analyze;
`;

const firstNames = [
  'Ada',
  'Bruno',
  'Chioma',
  'Dmitri',
  'Elif',
  'Farid',
  'Greta',
  'Hana',
  'Ines',
  'Jonas',
  'Kaede',
  'Lucia',
  'Mateo',
  'Nadia',
  'Omar',
  'Priya',
  'Quentin',
  'Rosa',
  'Sven',
  'Tala',
];
const lastNames = [
  'Almeida',
  'Bauer',
  'Chen',
  'Dubois',
  'Eriksen',
  'Ferrari',
  'Gupta',
  'Haddad',
  'Ivanova',
  'Jensen',
  'Kowalski',
  'Lopez',
  'Moreau',
  'Nakamura',
  'Okafor',
  'Petrov',
  'Quispe',
  'Rossi',
  'Silva',
  'Tanaka',
];
const countries = ['BR', 'CH', 'DE', 'ES', 'FR', 'GB', 'IN', 'IT', 'JP', 'NG', 'PL', 'US'];
const currencies = ['EUR', 'USD', 'GBP', 'JPY', 'CHF'];
const statuses = ['captured', 'captured', 'captured', 'authorized', 'refunded', 'declined'];
const notes = ['', '', '', '', 'gift wrap', 'deliver to the back door', 'customer called twice', 'leave with neighbour'];

/** Creates the database, its roles and its rows as superuser. */
export async function seedPayments(
  superuser: { readonly host: string; readonly port: number; readonly user: string },
  options: SeedOptions = {},
): Promise<Seeded> {
  const database = options.database ?? 'payments';
  const accounts = { readOnly: { user: 'app_ro', password: 'ro-7Qe2wXv9' }, readWrite: { user: 'app_rw', password: 'rw-Kp4mZt6c' } };
  await connected(superuser, 'postgres', async (client) => {
    for (const { user, password } of [accounts.readOnly, accounts.readWrite]) {
      const { rowCount } = await client.query('select from pg_roles where rolname = $1', [user]);
      if (rowCount === 0) await client.query(`create role ${user} login password '${password}'`);
    }
    await client.query(`create database ${database}`);
  });
  const random = seeded(options.seed ?? 20_260_101);
  const customers = makeCustomers(options.customers ?? 1500, random);
  const cards = makeCards(options.cards ?? 4000, customers, random);
  const orders = makeOrders(options.orders ?? 10_000, cards, random);
  await connected(superuser, database, async (client) => {
    await client.query(schema);
    await load(
      client,
      'customers',
      5,
      customers.map((row) => [row.id, row.name, row.email, row.country, row.since]),
    );
    await load(
      client,
      'cards',
      7,
      cards.map((row) => [row.id, row.customerId, row.brand, row.pan, row.expiry, row.cvv, row.holder]),
    );
    await load(client, 'orders', 8, orders);
    await client.query(afterLoad);
  });
  return { database, accounts, cards };
}

interface Customer {
  readonly id: number;
  readonly name: string;
  readonly email: string;
  readonly country: string;
  readonly since: string;
}

interface Card extends SeededCard {
  readonly customerId: number;
  readonly expiry: string;
}

function makeCustomers(count: number, random: () => number): Customer[] {
  return Array.from({ length: count }, (_, index) => {
    const first = pick(firstNames, random);
    const last = pick(lastNames, random);
    const email = `${first}.${last}.${index + 1}@example.com`.toLowerCase();
    return {
      id: index + 1,
      name: `${first} ${last}`,
      email,
      country: pick(countries, random),
      since: day(2015 + Math.floor(random() * 10), random),
    };
  });
}

function makeCards(count: number, customers: readonly Customer[], random: () => number): Card[] {
  const taken = new Set<string>();
  const cards: Card[] = [];
  while (cards.length < count) {
    const brand = pickBrand(random);
    const pan = makePan(brand, random);
    const owner = pick(customers, random);
    const cvv = digits(brand.cvv, random);
    const expiry = `${twoDigits(1 + Math.floor(random() * 12))}/${27 + Math.floor(random() * 5)}`;
    if (!luhnValid(pan)) throw new Error(`generated an invalid number for ${brand.name}`);
    if (taken.has(pan)) continue;
    taken.add(pan);
    cards.push({ id: cards.length + 1, customerId: owner.id, brand: brand.name, pan, expiry, cvv, holder: owner.name.toUpperCase() });
  }
  return cards;
}

function makeOrders(count: number, cards: readonly Card[], random: () => number): (string | number)[][] {
  return Array.from({ length: count }, (_, index) => {
    const card = pick(cards, random);
    const placed = `${day(2025, random)}T${twoDigits(Math.floor(random() * 24))}:${twoDigits(Math.floor(random() * 60))}:00Z`;
    // Now and then someone types a card number where none belongs: patterns must find it, no column name will.
    const note = index % 97 === 0 ? `paid by phone, card ${card.pan}` : pick(notes, random);
    return [
      index + 1,
      card.customerId,
      card.id,
      (random() * 900 + 1).toFixed(2),
      pick(currencies, random),
      pick(statuses, random),
      placed,
      note,
    ];
  });
}

const twoDigits = (value: number): string => String(value).padStart(2, '0');
const digits = (count: number, random: () => number): string => Array.from({ length: count }, () => Math.floor(random() * 10)).join('');
const day = (year: number, random: () => number): string =>
  `${year}-${twoDigits(1 + Math.floor(random() * 12))}-${twoDigits(1 + Math.floor(random() * 28))}`;

/** COPY FROM STDIN in text format. The values hold no tab, newline or backslash. */
async function load(client: pg.Client, table: string, columns: number, rows: readonly (readonly (string | number)[])[]): Promise<void> {
  const lines = rows.map((row) => {
    if (row.length !== columns) throw new Error(`${table}: a row of ${row.length} values`);
    return row.join('\t');
  });
  await copyIn(client, `copy ${table} from stdin`, Buffer.from(`${lines.join('\n')}\n`));
}

/** node-postgres hands the copy sub-protocol to any object with these methods (its Submittable). */
function copyIn(client: pg.Client, text: string, data: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    let failure: Error | null = null;
    const ignore = (): void => {};
    client.query({
      submit: (connection: pg.Connection) => connection.query(text),
      handleCopyInResponse: (connection: CopyConnection) => {
        connection.sendCopyFromChunk(data);
        connection.endCopyFrom();
      },
      handleError: (error: Error) => {
        failure = error;
        reject(error);
      },
      handleReadyForQuery: () => {
        if (failure === null) resolve();
      },
      handleCommandComplete: ignore,
      handleRowDescription: ignore,
      handleDataRow: ignore,
      handlePortalSuspended: ignore,
      handleEmptyQuery: ignore,
    } as pg.Submittable);
  });
}

interface CopyConnection {
  sendCopyFromChunk(chunk: Buffer): void;
  endCopyFrom(): void;
}

async function connected(
  superuser: { readonly host: string; readonly port: number; readonly user: string },
  database: string,
  work: (client: pg.Client) => Promise<void>,
): Promise<void> {
  const client = new pg.Client({ ...superuser, database });
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}
