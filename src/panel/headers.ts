/** Nothing inline, nothing from elsewhere, nobody's frame. `connect-src` covers the live log's WebSocket. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  // Icons in the stylesheet are data.
  "img-src 'self' data:",
  "connect-src 'self'",
  "font-src 'self'",
  "frame-ancestors 'none'",
  "base-uri 'none'",
  "form-action 'self'",
].join("; ");

/** What the panel never uses, so that nothing that got into it could. Copying needs the clipboard. */
const PERMISSIONS_POLICY = [
  "camera=()",
  "display-capture=()",
  "geolocation=()",
  "microphone=()",
  "payment=()",
  "publickey-credentials-get=()",
  "usb=()",
].join(", ");

/** On every answer of the panel, whatever its status. */
export const PANEL_HEADERS = {
  "content-security-policy": CONTENT_SECURITY_POLICY,
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "permissions-policy": PERMISSIONS_POLICY,
} as const;
