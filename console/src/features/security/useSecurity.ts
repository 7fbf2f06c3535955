/** The question behind the page. */

import { useQuery } from "@tanstack/react-query";

import { loadSecurity, type Scope } from "../../policy/load";

export function useSecurity(scope: Scope) {
  return useQuery({
    queryKey: ["list", "firewall-rule", "security", scope.join(":")],
    queryFn: ({ signal }) => loadSecurity(scope, signal),
    retry: false,
  });
}
