/** What a protocol hands to policy: the words its policies may use. Data only, so that src/policy names no protocol. */
export interface ProtocolVocabulary {
  /** Name of the protocol, e.g. the `kind` of a resource. Every action of it is in the group of this name. */
  readonly protocol: string;
  /** Every action an Operation or an ObjectRef of this protocol can carry, with the groups it is in (`read`, `write` ...). */
  readonly actions: Readonly<Record<string, readonly string[]>>;
  readonly objectTypes: readonly ObjectType[];
  /** The attributes every Operation carries, beside those that the engine adds (`commonContext` in schema.ts). */
  readonly context: Readonly<Record<string, AttributeType>>;
  /** Attributes that operations of one action carry beside these. */
  readonly actionContext?: Readonly<Record<string, Readonly<Record<string, AttributeType>>>>;
}

export type AttributeType = 'String' | 'Long' | 'Bool' | 'Set<String>';

/** One type of object, e.g. a table. The id of an object is `<resource>/<path>`. */
export interface ObjectType {
  readonly name: string;
  /** Types of object this one can be in, beside the resource itself. */
  readonly in: readonly string[];
  /** String attributes policies can test, e.g. `resource.schema`. */
  readonly attributes: readonly string[];
  /** Takes a path apart. Must give every attribute. `parents` are all ancestors below the resource. Pure. */
  describe(path: string): ObjectDescription;
}

export interface ObjectDescription {
  readonly attributes: Readonly<Record<string, string>>;
  readonly parents: readonly { readonly type: string; readonly path: string }[];
}
