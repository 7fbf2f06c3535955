/** Parts of pictures that are buttons. */

import type { KeyboardEvent } from "react";

/** What Enter and Space do to a part that a click does. */
export function pressed(then: () => void) {
  return (event: KeyboardEvent) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    then();
  };
}
