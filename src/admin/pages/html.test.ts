import assert from 'node:assert/strict';
import { test } from 'node:test';

import { html } from './html.ts';

test('what ends a comment for the target ends a line for whoever reads', () => {
  // PostgreSQL ends `--` at a carriage return as well: the statement is a DELETE.
  assert.equal(html`${'-- nothing\rdelete from cards'}`.text, '-- nothing\\u000d\ndelete from cards');
  assert.equal(html`${'select 1\r\n, 2\t\n'}`.text, 'select 1\n, 2\t\n');
  // And what does not end it must not look so.
  assert.equal(html`${'--\u2028delete\u0085x'}`.text, '--\\u2028delete\\u0085x');
});

test('what hides or reorders is shown', () => {
  assert.equal(
    html`${'a\u00adb\u061cc\u180ed\u3164e\u202ef\u{e0041}g\0'}`.text,
    'a\\u00adb\\u061cc\\u180ed\\u3164e\\u202ef\\u{e0041}g\\u0000',
  );
  assert.equal(html`${'Zoë 決済 <b> "&'}`.text, 'Zoë 決済 &lt;b&gt; &quot;&amp;');
});
