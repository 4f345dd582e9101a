import type { HubError } from './types.js';
export declare const errorOf: (text: string, code?: number | string, sessionId?: string) => HubError;
