const scope = globalThis as Partial<Window & typeof globalThis>;

/** Nothing is tried while nobody looks or nothing can be reached. */
export const awake = () => scope.document?.visibilityState !== 'hidden' && scope.navigator?.onLine !== false;

/** Calls back when the page is looked at again, or is online again, until it is undone. */
export function onWake(wake: () => void): () => void {
  const listener = () => awake() && wake();
  const each = (verb: 'addEventListener' | 'removeEventListener') => {
    scope.document?.[verb]('visibilitychange', listener);
    for (const name of ['online', 'pageshow']) scope[verb]?.(name, listener);
  };
  each('addEventListener');
  return () => each('removeEventListener');
}
