/** Colours and sizes; all pairs of text and ground keep the contrast that WCAG AA asks for. */

import { theme, type ThemeConfig } from "antd";
import { useEffect, useState } from "react";

export type Scheme = "light" | "dark";

const KEPT = "skytrail.scheme";

export function useScheme(): [Scheme, () => void] {
  const [scheme, setScheme] = useState<Scheme>(() => {
    const kept = localStorage.getItem(KEPT);
    if (kept === "light" || kept === "dark") return kept;
    return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  });
  useEffect(() => {
    document.documentElement.dataset["scheme"] = scheme;
  }, [scheme]);
  const turn = () => {
    const next = scheme === "light" ? "dark" : "light";
    localStorage.setItem(KEPT, next);
    setScheme(next);
  };
  return [scheme, turn];
}

export function themeOf(scheme: Scheme): ThemeConfig {
  const dark = scheme === "dark";
  return {
    algorithm: dark ? [theme.darkAlgorithm, theme.compactAlgorithm] : [theme.defaultAlgorithm, theme.compactAlgorithm],
    token: {
      colorPrimary: dark ? "#1f6fbf" : "#0b5cad",
      colorPrimaryHover: dark ? "#2b78c5" : "#0a4f97",
      colorLinkHover: dark ? "#9ccbf8" : "#0a4f97",
      colorErrorHover: dark ? "#ff9c99" : "#a81f16",
      colorLink: dark ? "#78b7f5" : "#0b5cad",
      colorTextSecondary: dark ? "#b4bcc6" : "#4a5563",
      colorTextTertiary: dark ? "#a3acb8" : "#566270",
      colorTextDescription: dark ? "#a3acb8" : "#566270",
      colorTextPlaceholder: dark ? "#98a2ae" : "#626d7a",
      colorError: dark ? "#ff7875" : "#c0271d",
      colorSuccess: dark ? "#6abe39" : "#2b7a0b",
      colorWarning: dark ? "#e8b339" : "#9a5b00",
      borderRadius: 6,
      fontSize: 14,
      motion: !matchMedia("(prefers-reduced-motion: reduce)").matches,
    },
    components: {
      Layout: { headerHeight: 48, headerPadding: "0 16px" },
      // What a button is named stays readable under the pointer, and while it is pressed.
      ...(dark ? { Button: { defaultHoverColor: "#9ccbf8", defaultActiveColor: "#78b7f5", textHoverBg: "rgba(255, 255, 255, 0.08)" } } : {}),
      // All pages are in sight on a screen of 800 pixels.
      Menu: { itemHeight: 28, itemMarginBlock: 2, groupTitleFontSize: 12, ...(dark ? { darkGroupTitleColor: "#a3acb8" } : { groupTitleColor: "#566270" }) },
      ...(dark ? { Tabs: { itemSelectedColor: "#8ec4f8", itemHoverColor: "#a9d2fa", itemActiveColor: "#a9d2fa" } } : {}),
    },
  };
}
