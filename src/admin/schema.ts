import { formatDuration } from '../config/values.ts';

/**
 * The part of JSON Schema (2020-12, as OpenAPI 3.1 uses it) that the API describes its bodies with, and the check of a value
 * against it. One description serves the documentation, the check of requests, and the tests of answers.
 */
export interface Schema {
  readonly type?: SchemaType | readonly SchemaType[];
  readonly description?: string;
  readonly enum?: readonly (string | number | null)[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  /** `false`: no other members; a schema: what the others must be. */
  readonly additionalProperties?: boolean | Schema;
  readonly items?: Schema;
  readonly maxItems?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly default?: string | number | boolean;
}

type SchemaType = 'object' | 'array' | 'string' | 'integer' | 'number' | 'boolean' | 'null';

/** An object that has all of these members and no others, but for `optional` ones. */
export function object(properties: Readonly<Record<string, Schema>>, optional: readonly string[] = []): Schema {
  return {
    type: 'object',
    properties,
    required: Object.keys(properties).filter((name) => !optional.includes(name)),
    additionalProperties: false,
  };
}

export function list(items: Schema): Schema {
  return { type: 'array', items };
}

/** A text of a request: bounded, so that nobody fills the store. */
export function text(maxLength: number, description?: string, minLength = 0): Schema {
  return { type: 'string', maxLength, ...(minLength === 0 ? {} : { minLength }), ...(description === undefined ? {} : { description }) };
}

export function oneOf(...values: readonly string[]): Schema {
  return { type: 'string', enum: values };
}

export const string: Schema = { type: 'string' };
export const strings: Schema = list(string);
export const integer: Schema = { type: 'integer' };
export const boolean: Schema = { type: 'boolean' };
/** A moment, ms since the epoch. */
export const time: Schema = { type: 'integer', description: 'milliseconds since the epoch' };
export const timeOrNull: Schema = { type: ['integer', 'null'], description: 'milliseconds since the epoch; null: never or not yet' };

/** Seconds also as people write them. */
function amount(at: string, value: number): string {
  const words = formatDuration(value);
  return /seconds$/i.test(at) && words !== `${value}s` ? `${value} (${words})` : String(value);
}

/** The first breach as `path: what`, or null when the value is as described. Never quotes the value: it may be a secret. */
export function breach(schema: Schema, value: unknown, path = ''): string | null {
  const at = path === '' ? 'the body' : path;
  if (schema.type !== undefined) {
    const types: readonly SchemaType[] = typeof schema.type === 'string' ? [schema.type] : schema.type;
    if (!types.some((type) => isOf(type, value))) return `${at}: is not ${types.join(' or ')}`;
  }
  if (schema.enum !== undefined && !schema.enum.some((one) => one === value)) return `${at}: is not one of ${schema.enum.join(', ')}`;
  if (typeof value === 'string') return textBreach(schema, value, at);
  if (typeof value === 'number') {
    if (schema.minimum !== undefined && value < schema.minimum) return `${at}: is less than ${amount(at, schema.minimum)}`;
    if (schema.maximum !== undefined && value > schema.maximum) return `${at}: is more than ${amount(at, schema.maximum)}`;
    return null;
  }
  if (Array.isArray(value)) {
    if (schema.maxItems !== undefined && value.length > schema.maxItems) return `${at}: has more than ${schema.maxItems} items`;
    const { items } = schema;
    if (items === undefined) return null;
    for (const [i, item] of value.entries()) {
      const problem = breach(items, item, `${path}[${i}]`);
      if (problem !== null) return problem;
    }
    return null;
  }
  return typeof value === 'object' && value !== null ? membersBreach(schema, value as Record<string, unknown>, path) : null;
}

function textBreach(schema: Schema, value: string, at: string): string | null {
  // The store takes no text with one.
  if (value.includes('\0')) return `${at}: has a NUL character`;
  if (schema.minLength !== undefined && value.length < schema.minLength) return `${at}: is empty or too short`;
  if (schema.maxLength !== undefined && value.length > schema.maxLength) return `${at}: is longer than ${schema.maxLength} characters`;
  if (schema.pattern !== undefined && !new RegExp(schema.pattern, 'u').test(value)) return `${at}: is not of the form ${schema.pattern}`;
  return null;
}

function membersBreach(schema: Schema, value: Readonly<Record<string, unknown>>, path: string): string | null {
  for (const name of schema.required ?? []) if (!Object.hasOwn(value, name)) return `${join(path, name)}: is missing`;
  for (const [name, member] of Object.entries(value)) {
    const known = schema.properties !== undefined && Object.hasOwn(schema.properties, name) ? schema.properties[name] : undefined;
    const others = schema.additionalProperties ?? true;
    if (known === undefined && others === false) return `${join(path, name)}: is not known here`;
    const described = known ?? (typeof others === 'object' ? others : undefined);
    const problem = described === undefined ? null : breach(described, member, join(path, name));
    if (problem !== null) return problem;
  }
  return null;
}

function join(path: string, name: string): string {
  return path === '' ? name : `${path}.${name}`;
}

function isOf(type: SchemaType, value: unknown): boolean {
  switch (type) {
    case 'null':
      return value === null;
    case 'array':
      return Array.isArray(value);
    case 'object':
      return typeof value === 'object' && value !== null && !Array.isArray(value);
    case 'integer':
      return Number.isSafeInteger(value);
    case 'number':
      return typeof value === 'number' && Number.isFinite(value);
    default:
      return typeof value === type;
  }
}
