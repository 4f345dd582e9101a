import type { SessionEventsOptions } from './types.js';

/**
 * The addresses of WebSocket and polls. They stand beside each other, in the directory
 * above the one the module serves this file from, so that a prefix of the site is kept;
 * in a bundle, at the root of the page's origin.
 */
export function addresses({ url, pollingFallbackUrl }: SessionEventsOptions): { socket: URL; polls: string } {
  const page = globalThis.location?.href;
  const served = /\/lifeline\/client(-\w+)?\.js$/.test(import.meta.url.split('?')[0]!);
  const socket = url ? new URL(url, page) : served ? new URL('../ws', import.meta.url) : new URL('/ws', page);
  const http = new URL(socket);
  http.protocol = socket.protocol.replace('ws', 'http');
  socket.protocol = socket.protocol.replace('http', 'ws');
  return { socket, polls: new URL(pollingFallbackUrl ?? 'api/events', http).href.replace(/[?#].*|\/$/g, '') };
}

/** What a poll asks about sessions, one by its own path, several by the hub's shared one. */
export function pollURL(base: string, sessions: { id: string; cursor?: string }[], query: Record<string, string>): string {
  const q = new URLSearchParams(query);
  const only = sessions.length < 2;
  for (const { id, cursor } of sessions) {
    if (!only) q.append('session', id);
    if (cursor) q.append(only ? 'since' : `since[${id}]`, cursor);
  }
  return `${base}/poll${only ? '/' + encodeURIComponent(sessions[0]!.id) : ''}?${q}`;
}

/** The subprotocols that say who we are; a key must not stand in an address, which is logged. */
export function protocols(key?: string): string[] {
  const base64url = (s: string) => btoa(String.fromCharCode(...new TextEncoder().encode(s)))
    .replace(/[+/=]/g, (c) => ({ '+': '-', '/': '_' })[c] ?? '');
  return ['lifeline.v1', ...(key ? ['lifeline.key.' + base64url(key)] : [])];
}
