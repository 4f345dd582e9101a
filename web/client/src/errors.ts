import type { HubError } from './types.js';

export const errorOf = (text: string, code?: number | string, sessionId?: string): HubError =>
  Object.assign(new Error(text), { code, sessionId });
