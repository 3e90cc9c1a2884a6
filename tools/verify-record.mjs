#!/usr/bin/env node
// Verifies a Sluice record without any of Sluice's code. Needs Node 18 or later and nothing else.
//
//   node verify-record.mjs PATH [--key FILE_OR_KEY] [--checkpoint FILE]... [--json]     (--help explains)
//
// PATH is one segment (000001.jsonl), the directory of one chain, or a directory with chains in it. The key is a line
// `name+hash+base64` as in `keys/record.pub`, which is also where it is looked for when none is given; take it from
// where you got it first, not from the machine under audit. A checkpoint file holds a signed note that was kept elsewhere:
// the record must contain what it signed, so it shows an end that was cut off. Exits 0 when everything holds, 1 when not.
//
// What is checked (docs/record-format.md says why):
//   1 every line is a JSON object that begins {"v":1,"prev":"<hash>"; seq counts up from the header without a gap
//   2 prev is the SHA-256 of the bytes of the line before, without its newline
//   3 SHA-256(0x00 || line) is the line's leaf, equal to the 32 bytes kept for it in the .leaves file
//   4 a checkpoint's tree size and root (RFC 9162) are those of all lines before it, and its Ed25519 signature is good
//   5 a segment's header continues the segment before it: number, last hash, tree
import { createHash, createPublicKey, verify } from 'node:crypto';
import { closeSync, existsSync, openSync, readdirSync, readFileSync, readSync, statSync } from 'node:fs';

const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash('sha256')).digest();
const BYTE = [Buffer.of(0), Buffer.of(1)];
const NO_LINE = '0'.repeat(64);
const TYPES = 'intent result output deny approval auth session config read recorder checkpoint'.split(' ');

const [problems, notes] = [[], []];
const origins = new Set();
let [lineCount, checkpointCount, segmentCount] = [0, 0, 0];
const problem = (where, message) => problems.push(`${where}: ${message}`);

function attempt(where, action) {
  try {
    action();
  } catch (error) {
    problem(where, error.message);
  }
}

// ---- the Merkle tree, as the list of its complete subtrees from the largest to the smallest

function addLeaf(tree, leaf) {
  let node = { height: 0, hash: leaf };
  while (tree.peaks.length > 0 && tree.peaks[tree.peaks.length - 1].height === node.height) {
    node = { height: node.height + 1, hash: sha256(BYTE[1], tree.peaks.pop().hash, node.hash) };
  }
  tree.peaks.push(node);
  tree.size += 1;
}

function rootOf(tree) {
  if (tree.size === 0) return sha256('');
  return tree.peaks.map(({ hash }) => hash).reduceRight((right, left) => sha256(BYTE[1], left, right));
}

function treeFrom(size, hashes) {
  const heights = [];
  for (let height = 52; height >= 0; height -= 1) if (Math.floor(size / 2 ** height) % 2 === 1) heights.push(height);
  if (heights.length !== hashes.length) return null;
  return { size, peaks: heights.map((height, i) => ({ height, hash: Buffer.from(hashes[i], 'hex') })) };
}

const sameTree = (a, b) => a.size === b.size && rootOf(a).equals(rootOf(b));

// ---- keys and signed notes (C2SP signed-note, tlog-checkpoint)

function readKey(text) {
  const [, name, id, data = ''] = /^([^+]+)\+([0-9a-f]{8})\+(.+)$/.exec(text.trim()) ?? [];
  const bytes = Buffer.from(data, 'base64');
  if (bytes.length !== 33 || bytes[0] !== 1) throw new Error(`not an Ed25519 verifier key: ${text.slice(0, 60)}`);
  const hash = sha256(`${name}\n`, bytes).subarray(0, 4);
  if (hash.toString('hex') !== id) throw new Error(`the hash in the key of ${name} is wrong`);
  const der = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), bytes.subarray(1)]);
  return { name, hash, key: createPublicKey({ key: der, format: 'der', type: 'spki' }) };
}

/** Returns { origin, size, root } of a note whose signature is good, and throws otherwise. */
function openNote(note, keys) {
  const split = note.indexOf('\n\n');
  if (split < 0) throw new Error('the checkpoint is not a signed note');
  const text = note.slice(0, split + 1);
  const [origin, size, root, ...rest] = text.split('\n');
  if (rest.length !== 1 || !/^(0|[1-9][0-9]*)$/.test(size) || Buffer.from(root, 'base64').toString('base64') !== root) {
    throw new Error('the checkpoint is not origin, size and root');
  }
  const key = keys.find((candidate) => candidate.name === origin);
  if (key === undefined) throw new Error(`no key for ${origin}`);
  for (const line of note.slice(split + 2).split('\n')) {
    if (!line.startsWith(`\u2014 ${origin} `)) continue;
    const bytes = Buffer.from(line.slice(origin.length + 3), 'base64');
    if (bytes.length !== 68 || !bytes.subarray(0, 4).equals(key.hash)) continue;
    if (!verify(null, Buffer.from(text), key.key, bytes.subarray(4))) throw new Error('the signature is wrong');
    return { origin, size: Number(size), root: Buffer.from(root, 'base64') };
  }
  throw new Error(`no signature by the key of ${origin}`);
}

/** Yields each line of a file without its newline; bytes after the last newline come with `complete` false. */
function* linesOf(path) {
  const fd = openSync(path, 'r');
  const block = Buffer.alloc(1 << 20);
  let rest = Buffer.alloc(0);
  for (let got = readSync(fd, block); got > 0; got = readSync(fd, block)) {
    const bytes = Buffer.concat([rest, block.subarray(0, got)]);
    let start = 0;
    for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, start)) {
      yield { bytes: bytes.subarray(start, end), complete: true };
      start = end + 1;
    }
    rest = bytes.subarray(start);
  }
  closeSync(fd);
  if (rest.length > 0) yield { bytes: rest, complete: false };
}

const numberOf = (path) => Number(path.slice(path.lastIndexOf('/') + 1, -'.jsonl'.length));
const leavesOf = (path) => path.replace(/\.jsonl$/, '.leaves');

function segmentsIn(directory) {
  const names = readdirSync(directory).filter((name) => /^[0-9]{6,}\.jsonl$/.test(name));
  return names.map((name) => `${directory}/${name}`).sort((a, b) => numberOf(a) - numberOf(b));
}

function headerOf(line) {
  const { type, event, segment, previous, tree } = line;
  if (type !== 'recorder' || (event !== 'start' && event !== 'rotate') || typeof tree?.size !== 'number') return null;
  const state = treeFrom(tree.size, tree.frontier ?? []);
  if (state === null || previous === undefined) return null;
  const origin = `${line.gateway}-${line.process}/record`;
  return { segment, origin, tree: state, previous: previous?.segment ?? 0, head: previous?.head ?? NO_LINE };
}

/** `keys` are null when there are none: that has been said, and signatures are not looked at. */
function verifyChain(directory, segments, keys, keptNotes) {
  const chain = { tree: null, head: '', origin: '', previous: 0, covered: -1, coveredAt: '', kept: [], keys };
  for (const path of segments) {
    segmentCount += 1;
    const last = path === segments[segments.length - 1];
    if (!verifySegment(directory, path, last, chain, keptNotes)) chain.tree = null;
    chain.previous = numberOf(path);
  }
  if (chain.covered < 0 && chain.keys !== null) problem(directory, 'there is no checkpoint that holds');
  if (chain.tree === null) return;
  compareKept(chain, directory);
  for (const { size } of chain.kept)
    problem(directory, `a kept checkpoint covers ${size} lines, there are ${chain.tree.size}: the end was cut off`);
  const rest = chain.tree.size - chain.covered - 1;
  if (chain.covered >= 0 && rest > 0)
    notes.push(`${directory}: ${rest} lines follow the last checkpoint (${chain.coveredAt}), unsigned yet`);
}

function verifySegment(directory, path, last, chain, keptNotes) {
  const leaves = existsSync(leavesOf(path)) ? readFileSync(leavesOf(path)) : null;
  if (leaves === null) problem(path, 'its leaf hashes (.leaves) are missing');
  let leavesGood = leaves !== null;
  let number = 0;
  for (const { bytes, complete } of linesOf(path)) {
    number += 1;
    const where = `${path}:${number}`;
    if (!complete) return problem(where, 'the last line is incomplete') > 0;
    const line = parse(bytes);
    if (line === null) return stop(where, 'not a line of a record');
    if (number === 1 && !enterSegment(directory, path, where, line, chain, keptNotes)) return false;
    if (line.seq !== chain.tree.size) return stop(where, `seq is ${line.seq} where ${chain.tree.size} follows`);
    if (line.prev !== chain.head) return stop(where, 'prev is not the hash of the line before: one of the two was altered or moved');
    if (!TYPES.includes(line.type)) problem(where, `unknown type ${line.type}`);
    compareKept(chain, where);
    if (line.type === 'checkpoint') checkCheckpoint(where, line, chain);
    const leaf = sha256(BYTE[0], bytes);
    const kept = leavesGood ? leaves.subarray((number - 1) * 32, number * 32) : leaf;
    // The newest segment's leaves are written in groups, so the last of them may not be there yet.
    if (kept.length === 32 ? !kept.equals(leaf) : !last) {
      problem(where, kept.length === 32 ? 'the leaf hash kept for this line is another' : 'leaf hashes are missing from here on');
      leavesGood = false;
    }
    addLeaf(chain.tree, leaf);
    chain.head = sha256(bytes).toString('hex');
    lineCount += 1;
  }
  if (number === 0) problem(path, 'the segment is empty');
  else if (leavesGood && leaves.length >= (number + 1) * 32)
    problem(`${path}:${number}`, 'leaf hashes are kept for more lines: cut off here');
  return number > 0;
}

function stop(where, message) {
  problem(where, `${message}; the rest of the segment is not checked`);
  return false;
}

function parse(bytes) {
  if (bytes.subarray(0, 15).toString('latin1') !== '{"v":1,"prev":"') return null;
  try {
    const line = JSON.parse(bytes);
    const typed = typeof line.t === 'string' && typeof line.type === 'string' && typeof line.sid === 'string';
    return typed && line.v === 1 && line.prev === bytes.subarray(15, 79).toString('latin1') ? line : null;
  } catch {
    return null;
  }
}

function enterSegment(directory, path, where, line, chain, keptNotes) {
  const header = headerOf(line);
  if (header === null) return stop(where, 'the segment does not begin with a header');
  if (header.segment !== numberOf(path)) problem(where, `the header is that of segment ${header.segment}`);
  if (chain.origin === '') {
    chain.origin = header.origin;
    origins.add(header.origin);
    if (chain.keys !== null && !chain.keys.some(({ name }) => name === chain.origin)) {
      problem(directory, `there is no key for ${chain.origin}, so its signatures cannot be checked`);
      chain.keys = null;
    }
    const ours = keptNotes.filter((note) => chain.keys !== null && note.startsWith(`${chain.origin}\n`));
    for (const note of ours) attempt(`${where}: kept checkpoint`, () => chain.kept.push(openNote(note, chain.keys)));
  } else if (chain.origin !== header.origin) {
    problem(where, `the header is that of ${header.origin}, in a record of ${chain.origin}`);
  }
  if (chain.previous !== 0) {
    if (header.previous !== chain.previous) problem(where, `segment ${header.previous} should come before, not ${chain.previous}`);
    const continues = chain.tree === null || (chain.head === header.head && sameTree(chain.tree, header.tree));
    if (!continues) problem(where, 'the header does not continue the segment before it');
  } else if (header.previous !== 0) {
    notes.push(`${where}: the record begins with line ${header.tree.size}: older segments are not here`);
    compareOldLeaves(directory, where, header);
  } else if (header.tree.size !== 0 || header.head !== NO_LINE) {
    problem(where, 'the header names lines before it, but no segment');
  }
  chain.tree = header.tree;
  chain.head = header.head;
  return true;
}

/** Leaf hashes outlive their segments: with all of them here, the header's tree can be computed instead of believed. */
function compareOldLeaves(directory, where, header) {
  const tree = { size: 0, peaks: [] };
  for (let n = 1; n <= header.previous; n += 1) {
    const path = `${directory}/${String(n).padStart(6, '0')}.leaves`;
    if (!existsSync(path)) return;
    const leaves = readFileSync(path);
    for (let off = 0; off + 32 <= leaves.length; off += 32) addLeaf(tree, leaves.subarray(off, off + 32));
  }
  if (!sameTree(tree, header.tree)) problem(where, 'the tree in the header is not that of the leaf hashes kept for the older segments');
}

function checkCheckpoint(where, line, chain) {
  checkpointCount += 1;
  if (chain.keys === null) return;
  attempt(where, () => {
    const signed = openNote(String(line.note), chain.keys);
    if (signed.origin !== chain.origin) throw new Error(`it is a checkpoint of ${signed.origin}`);
    if (signed.size !== chain.tree.size) throw new Error(`it covers ${signed.size} lines where ${chain.tree.size} come before it`);
    if (!signed.root.equals(rootOf(chain.tree))) throw new Error('the signed tree is not that of the lines: one before this was altered');
    chain.covered = signed.size;
    chain.coveredAt = line.t;
  });
}

function compareKept(chain, where) {
  const reached = chain.kept.filter(({ size }) => size === chain.tree.size);
  chain.kept = chain.kept.filter((kept) => !reached.includes(kept));
  const rewritten = reached.some(({ root }) => !root.equals(rootOf(chain.tree)));
  if (rewritten) problem(where, `a kept checkpoint signed another tree of ${chain.tree.size} lines: the record was rewritten`);
}

const USAGE = `usage: verify-record.mjs PATH [--key FILE_OR_KEY] [--checkpoint FILE]... [--json]

  PATH                a segment, the directory of a chain, or a directory with chains in it
  --key FILE_OR_KEY   the verifier key; default: keys/record.pub of the data directory; --keys is the same
  --checkpoint FILE   a checkpoint kept elsewhere, which the record must hold
  --json              the report as JSON
  --help              this text

Exits 0 when everything holds, 1 when not, 2 when called wrongly.
`;

/** Null when there are none; said once, before everything else. */
function keysFor(directory, key) {
  const file = key || `${directory}/../../keys/record.pub`;
  try {
    if (!existsSync(file) && key === '') throw new Error('no key is here');
    const text = existsSync(file) ? readFileSync(file, 'utf8') : key;
    return text.split('\n').filter(Boolean).map(readKey);
  } catch (error) {
    const message = `${key || 'keys/record.pub'}: ${error.message}, so no signature can be checked: name it with --key`;
    if (!problems.includes(message)) problems.unshift(message);
    return null;
  }
}

function wrongly(message) {
  process.stderr.write(`verify-record: ${message}; --help shows the usage\n`);
  return 2;
}

function main(args) {
  let [target, key, json] = ['', '', false];
  const kept = [];
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(USAGE);
    return 0;
  }
  while (args.length > 0) {
    const arg = args.shift();
    if ((arg === '--key' || arg === '--keys' || arg === '--checkpoint') && args.length === 0) return wrongly(`${arg} needs a value`);
    if (arg === '--key' || arg === '--keys') key = args.shift();
    else if (arg === '--checkpoint') {
      const file = args.shift();
      if (!existsSync(file)) return wrongly(`${file}: not found`);
      kept.push(readFileSync(file, 'utf8'));
    } else if (arg === '--json') json = true;
    else if (arg.startsWith('-')) return wrongly(`unknown option ${arg}`);
    else if (target !== '') return wrongly(`one PATH, not ${target} and ${arg}`);
    else target = arg.replace(/(.)\/+$/, '$1');
  }
  if (target === '') return wrongly('PATH is missing');
  if (!existsSync(target)) return wrongly(`${target}: not found`);
  const single = statSync(target).isFile();
  let chains = [single ? `${target}/..`.replace(/[^/]+\/\.\.$/, '.') : target];
  if (!single && segmentsIn(target).length === 0) {
    const below = existsSync(`${target}/record`) ? `${target}/record` : target;
    chains = readdirSync(below)
      .map((name) => `${below}/${name}`)
      .filter((path) => statSync(path).isDirectory() && segmentsIn(path).length > 0);
    if (chains.length === 0) problem(target, 'there is no record here');
  }
  for (const directory of chains) {
    const keys = keysFor(directory, key);
    verifyChain(directory, single ? [target] : segmentsIn(directory), keys, kept);
  }
  for (const note of kept)
    if (!origins.has(note.split('\n')[0])) problem(target, `no chain here is that of the kept checkpoint of ${note.split('\n')[0]}`);
  const ok = problems.length === 0;
  const report = { ok, lines: lineCount, segments: segmentCount, checkpoints: checkpointCount, problems, notes };
  const summary = `${ok ? 'OK' : 'NOT OK'}: ${lineCount} lines, ${segmentCount} segments, ${checkpointCount} checkpoints`;
  const text = [...problems.map((line) => `PROBLEM ${line}`), ...notes.map((line) => `note    ${line}`), summary];
  process.stdout.write(`${json ? JSON.stringify(report) : text.join('\n')}\n`);
  return ok ? 0 : 1;
}

process.exitCode = main(process.argv.slice(2));
