/** An endpoint whose last dial failed is asked last for this long: long before a health check says so, and short enough to notice a recovery. */
export const SUSPECT_MS = 1000;
