import { BlockList, isIP } from 'node:net';

import type { AddressRange } from '../config/model.ts';

/** Where a request comes from: by the connection, or by what a proxy that is trusted says of it. */

/** The client's address, from that of the connection and the header X-Forwarded-For ('' when absent). */
export type ClientAddress = (peer: string, forwarded: string) => string;

/**
 * Believes the header only as far as trusted proxies wrote it. Each appends whom it was asked by, so of the list, read from its end, the
 * first address that is no trusted proxy is the client; what stands before it the client may have made up.
 */
export function clientAddress(proxies: readonly AddressRange[]): ClientAddress {
  const trusted = new BlockList();
  for (const { address, prefix, family } of proxies) trusted.addSubnet(address, prefix, family);
  const isTrusted = (address: string): boolean => {
    const version = isIP(address);
    return version !== 0 && trusted.check(address, version === 6 ? 'ipv6' : 'ipv4');
  };
  return (peer, forwarded) => {
    let address = plainAddress(peer);
    const hops = forwarded === '' ? [] : forwarded.split(',');
    while (hops.length > 0 && isTrusted(address)) {
      const hop = addressIn(hops.pop() ?? '');
      // What is no address leads nowhere: then the proxy is all that is known.
      if (hop === null) break;
      address = hop;
    }
    return address;
  };
}

/** Some proxies write a port after it, and then IPv6 in brackets. */
function addressIn(hop: string): string | null {
  const text = hop.trim();
  const bare = isIP(text) !== 0 ? text : (/^\[([^\]]+)\](?::\d{1,5})?$/.exec(text)?.[1] ?? /^([\d.]+):\d{1,5}$/.exec(text)?.[1] ?? '');
  return isIP(bare) === 0 ? null : plainAddress(bare);
}

/** An IPv6 address as the standard writes it, and an IPv4 one that came through an IPv6 socket as IPv4. */
function plainAddress(text: string): string {
  if (!text.includes(':')) return text;
  const url = `http://[${text}]/`;
  if (!URL.canParse(url)) return text;
  const shortest = new URL(url).hostname.slice(1, -1);
  const [, high, low] = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(shortest) ?? [];
  if (high === undefined || low === undefined) return shortest;
  return [...Buffer.from(`${high.padStart(4, '0')}${low.padStart(4, '0')}`, 'hex')].join('.');
}
