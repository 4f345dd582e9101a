const numbers = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });

export const number = (n: number | null | undefined): string => n == null ? '–' : numbers.format(n);

export const plural = (n: number, one: string, many = one + 's'): string => `${number(n)} ${n === 1 ? one : many}`;

/** A length of time in words, of milliseconds; `exact` to the second below an hour. */
export function length(ms: number, exact?: boolean): string {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return s + ' s';
  if (s < 3600) return `${Math.floor(s / 60)} min${exact && s % 60 ? ` ${s % 60} s` : ''}`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor(s % 3600 / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor(s % 86400 / 3600)} h`;
}

export function bytes(n: number): string {
  if (n < 1000) return n + ' B';
  return n < 1e6 ? number(n / 1e3) + ' kB' : number(n / 1e6) + ' MB';
}

/** The time of day. */
export function clock(time: string | number | undefined, withMillis?: boolean): string {
  const t = new Date(time ?? '');
  if (Number.isNaN(+t)) return '';
  return t.toTimeString().slice(0, 8) + (withMillis ? '.' + String(t.getMilliseconds()).padStart(3, '0') : '');
}
