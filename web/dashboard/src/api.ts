// The hub, and who we are to it.

/** Beneath which the hub's routes stand, so that a prefix of the site is kept. */
export const base = new URL('..', location.href);

const name = 'lifeline.key ' + base.pathname;

/** The API key, for as long as this tab lives. */
export const key = sessionStorage.getItem(name);

/** Begins anew with another key, or with none. */
export function useKey(value?: string): void {
  if (value) sessionStorage.setItem(name, value);
  else sessionStorage.removeItem(name);
  location.reload();
}

/** Asks a route of the hub; what it refuses is thrown as an Error with its HTTP status in `code`. */
export async function ask(path: string, init: RequestInit = {}): Promise<Response> {
  const answer = await fetch(new URL(path, base), {
    ...init, cache: 'no-store', headers: key ? { authorization: 'Bearer ' + key } : {},
  });
  if (answer.ok) return answer;
  const { error, message } = await answer.json().catch(() => ({}));
  throw Object.assign(new Error(message ?? error ?? 'the server answers ' + answer.status), { code: answer.status });
}

/** A text as one word of a shell. */
const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;

/** A request as a command for a shell; the key is not told, but where to put it. */
export function curl(path: string, body?: object): string {
  return 'curl' + (body ? '' : ' -N') + ' ' + quoted(new URL(path, base).href) +
    (key ? ' -H "Authorization: Bearer $LIFELINE_KEY"' : '') +
    (body ? ` -H 'Content-Type: application/json' -d ${quoted(JSON.stringify(body))}` : '');
}
