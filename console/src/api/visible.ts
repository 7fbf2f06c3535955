/** Whether anybody can see the page: one that nobody sees draws and asks nothing. */

export function isSeen(): boolean {
  return document.visibilityState === "visible";
}

/** Calls whenever the page is seen again, until the answer is called. */
export function onSeen(call: () => void): () => void {
  const look = () => {
    if (isSeen()) call();
  };
  document.addEventListener("visibilitychange", look);
  return () => document.removeEventListener("visibilitychange", look);
}
