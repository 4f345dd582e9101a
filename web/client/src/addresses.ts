import type { SessionEventsOptions } from './types.js';

/**
 * The addresses of WebSocket and polls. They stand beside each other, in the directory
 * above the one the module serves this file from, so that a prefix of the site is kept;
 * in a bundle, at the root of the page's origin.
 */
export function addresses({ url, pollingFallbackUrl }: SessionEventsOptions): [socket: string, polls: string] {
  const page = globalThis.location?.href;
  const served = /\/lifeline\/client(-\w+)?\.js(\?|$)/.test(import.meta.url);
  const { href } = new URL(url ?? (served ? '../ws' : '/ws'), url || !served ? page : import.meta.url);
  const polls = new URL(pollingFallbackUrl ?? 'api/events', href.replace(/^ws/, 'http'));
  return [href.replace(/^http/, 'ws'), polls.href.replace(/[?#].*|\/$/g, '')];
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
  if (!key) return ['lifeline.v1'];
  const bytes = String.fromCharCode(...new TextEncoder().encode(key));
  return ['lifeline.v1', 'lifeline.key.' + btoa(bytes).replace(/[+/=]/g, (c) => ({ '+': '-', '/': '_' })[c] ?? '')];
}
