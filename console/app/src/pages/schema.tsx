// As much of JSON schema as a person needs to fill in an add-on's values. The server holds the values to all of it.

import Box from "@cloudscape-design/components/box";

export interface Shape {
  type?: string | string[];
  description?: string;
  properties?: Record<string, Shape>;
  additionalProperties?: boolean | Shape;
  items?: Shape;
  enum?: unknown[];
  minimum?: number;
  maximum?: number;
  pattern?: string;
}

/** Why a text cannot be values of a schema, or undefined. */
export function problemOf(text: string, schema: Shape | undefined): string | undefined {
  if (text.trim() === "") return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return `Not JSON: ${(error as Error).message}`;
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return "A JSON object is accepted.";
  return schema && unknownMember(value, schema, "");
}

function unknownMember(value: object, schema: Shape, path: string): string | undefined {
  for (const [name, member] of Object.entries(value)) {
    const shape = schema.properties?.[name];
    if (!shape && schema.additionalProperties === false) {
      return `${path}${name} cannot be configured. ${Object.keys(schema.properties ?? {}).join(", ")} can.`;
    }
    if (shape?.enum && !shape.enum.includes(member)) return `${path}${name} can be ${shape.enum.join(", ")}.`;
    if (shape && typeof member === "object" && member !== null && !Array.isArray(member)) {
      const deeper = unknownMember(member as object, shape, `${path}${name}.`);
      if (deeper) return deeper;
    }
  }
}

export const Schema = ({ of }: { of: Shape }) => (
  <ul>
    {Object.entries(of.properties ?? {}).map(([name, shape]) => (
      <li key={name}>
        <Box variant="code">{name}</Box> <Box variant="span" color="text-body-secondary">{kindOf(shape)}</Box>
        {shape.description && <Box color="text-body-secondary">{shape.description}</Box>}
        {shape.properties && <Schema of={shape} />}
      </li>
    ))}
  </ul>
);

function kindOf(shape: Shape): string {
  if (shape.enum) return shape.enum.map(String).join(" | ");
  const kind = Array.isArray(shape.type) ? shape.type.join(" or ") : (shape.type ?? "");
  return shape.minimum !== undefined || shape.maximum !== undefined ? `${kind}, ${shape.minimum ?? ""} to ${shape.maximum ?? ""}` : kind;
}
