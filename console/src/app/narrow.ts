/** Whether there is room for the menu beside a page. */

import { useSyncExternalStore } from "react";

const NARROW = "(max-width: 900px)";

export function useNarrow(): boolean {
  return useSyncExternalStore(
    (onChange) => {
      const media = matchMedia(NARROW);
      media.addEventListener("change", onChange);
      return () => media.removeEventListener("change", onChange);
    },
    () => matchMedia(NARROW).matches,
  );
}
