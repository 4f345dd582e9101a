/** Nothing is tried while nobody looks or nothing can be reached. */
export declare const awake: () => boolean;
/** Calls back when the page is looked at again, or is online again, until it is undone. */
export declare function onWake(wake: () => void): () => void;
