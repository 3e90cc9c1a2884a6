/** HTML that is safe by its type: text becomes part of it only escaped. */
export class Html {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

type Part = Html | string | number | readonly Part[] | null;

/** html`<p>${value}</p>`: values are escaped, other Html and lists of it are taken as they are. */
export function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Html {
  return new Html(strings.map((string, i) => string + (i < parts.length ? render(parts[i] ?? null) : '')).join(''));
}

function render(part: Part): string {
  if (part === null) return '';
  if (part instanceof Html) return part.text;
  if (typeof part === 'object') return part.map(render).join('');
  return escaped(String(part));
}

const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

/** Controls, what has no width, what reorders, and what a browser takes for a line break where the target takes none. */
const deceiving = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;

/**
 * Also shows what would hide or reorder text: a statement that an approver reads must be the one that runs. Line breaks and
 * tabs stay; a lone carriage return ends a comment as a line break does, so it is seen as both.
 */
function escaped(text: string): string {
  const visible = text.replace(/\r\n/g, '\n').replace(deceiving, (char) => {
    if (char === '\n' || char === '\t') return char;
    const hex = (char.codePointAt(0) ?? 0).toString(16);
    return `\\u${hex.length > 4 ? `{${hex}}` : hex.padStart(4, '0')}${char === '\r' ? '\n' : ''}`;
  });
  return visible.replace(/[&<>"']/g, (char) => entities[char] ?? char);
}
