import type { HubError, WorkspaceEvent } from './types.js';
/** Hands events to iterators, until it is over. */
export declare function createReaders(): readonly [(event: WorkspaceEvent) => void, (error?: HubError) => void, ({ signal }?: {
    signal?: AbortSignal;
}) => AsyncGenerator<WorkspaceEvent, void, void>];
