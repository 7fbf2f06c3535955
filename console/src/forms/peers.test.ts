/** BGP peers as rows: what is said of one end stays, keys are replaced as a whole. */

import { expect, test } from "vitest";

import model from "../generated/model.json";
import type { Catalog } from "../model/catalog";
import { checkObject } from "../model/check";
import type { Document } from "../model/document";
import { FAMILIES, familiesOf, holdTimeOf, keyOf, peerOf, withAttributes } from "./peers";

const catalog = model as unknown as Catalog;
const ONE_END: Document = { bgp_router: "d:p:a", local_autonomous_system: 7 };
const REFERENCE: Document = { to: ["d", "p", "b"], attr: { session: [{ uuid: "s", attributes: [ONE_END] }] } };

test("what is set is read back, and is right by the model", () => {
  const full = [{ passive: true }, { admin_down: true }, holdTimeOf("90"), familiesOf(["inet-vpn", "e-vpn"]), keyOf("secret")].reduce(withAttributes, REFERENCE);
  expect(peerOf(full)).toEqual({ name: ["d", "p", "b"], isPassive: true, isDown: true, holdTime: "90", families: ["inet-vpn", "e-vpn"], hasKey: true, isMore: true });
  expect([...checkObject(catalog, "bgp-router", { bgp_router_refs: [full] })]).toEqual([]);
});

test("what is said of one end stays, and what is taken away leaves nothing", () => {
  const changed = withAttributes(withAttributes(REFERENCE, keyOf("x")), keyOf(""));
  expect(changed).toEqual(REFERENCE);
});

test("families are those of the model", () => {
  expect([...FAMILIES]).toEqual(catalog.types["AddressFamilies"]?.fields["family"]?.enum);
});

test("a hold time that is none stays as typed and is refused by the form", () => {
  const wrong = withAttributes(REFERENCE, holdTimeOf("long"));
  expect(peerOf(wrong).holdTime).toBe("long");
  expect(checkObject(catalog, "bgp-router", { bgp_router_refs: [wrong] }).size).toBe(1);
});
