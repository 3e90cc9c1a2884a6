import assert from 'node:assert/strict';
import { test } from 'node:test';

import { metricsText } from './metrics.ts';
import { html } from './pages/html.ts';
import { matchPath } from './route.ts';
import { localPath } from './routes/login.ts';

test('a path matches its template part by part, decoded', () => {
  assert.deepEqual(matchPath('/a/{id}/b', '/a/x%2Fy/b'), { id: 'x/y' });
  for (const path of ['/a//b', '/a/x', '/a/x/b/', '/a/x/c', '/a/%ff/b']) assert.equal(matchPath('/a/{id}/b', path), null, path);
});

test('only paths of this gateway are gone on with', () => {
  assert.equal(localPath('/approvals/1?x=2'), '/approvals/1?x=2');
  for (const path of ['', 'x', '//evil.example', '/\\evil.example', 'https://evil.example/', '/\t/evil.example', '/..//evil.example'])
    assert.equal(localPath(path), '/approvals', path);
});

test('text becomes part of a page escaped, and shows what would hide or reorder it', () => {
  const evil = `<a href="x" onclick='y'>&\u202e\u0000\u200b`;
  assert.equal(html`<p>${evil}</p>`.text, '<p>&lt;a href=&quot;x&quot; onclick=&#39;y&#39;&gt;&amp;\\u202e\\u0000\\u200b</p>');
  assert.equal(html`<ul>${[html`<li>${1}</li>`, html`<li>${'<'}</li>`]}</ul>${null}`.text, '<ul><li>1</li><li>&lt;</li></ul>');
});

test('labels of metrics are escaped', () => {
  const text = metricsText([{ name: 'a', type: 'gauge', help: 'x\ny', samples: [{ labels: { l: 'q"\\\n' }, value: 1 }] }]);
  assert.equal(text, '# HELP a x\\ny\n# TYPE a gauge\na{l="q\\"\\\\\\n"} 1\n');
});
