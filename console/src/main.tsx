/** Starts the console: theme, queries, routes. */

import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { BrowserRouter } from "react-router";

import { Refused } from "./api/client";
import { baseAt, timeIn } from "./api/moment";
import { Root } from "./app/Root";
import "./style.css";

const queries = new QueryClient({
  defaultOptions: {
    queries: {
      retry: (count, error) => count < 2 && !(error instanceof Refused && error.status < 500),
      refetchOnWindowFocus: false,
      staleTime: 5_000,
    },
  },
});

const place = document.getElementById("root");
if (place !== null) {
  createRoot(place).render(
    <StrictMode>
      <QueryClientProvider client={queries}>
        <BrowserRouter basename={baseAt(timeIn(location.pathname))}>
          <Root />
        </BrowserRouter>
      </QueryClientProvider>
    </StrictMode>,
  );
}
