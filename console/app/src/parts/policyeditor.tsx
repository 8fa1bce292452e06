import Box from "@cloudscape-design/components/box";
import FormField from "@cloudscape-design/components/form-field";
import SpaceBetween from "@cloudscape-design/components/space-between";
import StatusIndicator from "@cloudscape-design/components/status-indicator";
import Textarea from "@cloudscape-design/components/textarea";
import { useEffect, useState } from "react";
import { sentence, useSession } from "../session";

/** What is wrong with a document, or probably not meant: what `lanyard policy check` tells. */
export interface Finding {
  line: number;
  column: number;
  severity: "error" | "warning";
  text: string;
}

interface PolicyEditorProps {
  label: string;
  description?: string;
  kind: "identity" | "trust";
  value: string;
  onChange: (text: string) => void;
  readOnly?: boolean;
  /** Called with whether the document may be stored, as far as that is known. */
  onJudged?: (good: boolean) => void;
}

/** A policy document, with what the server finds in it beneath. */
export function PolicyEditor({ label, description, kind, value, onChange, readOnly, onJudged }: PolicyEditorProps) {
  const session = useSession();
  const [findings, setFindings] = useState<Finding[]>();
  const [problem, setProblem] = useState<string>();
  useEffect(() => {
    let gone = false;
    setFindings(undefined);
    const soon = setTimeout(async () => {
      try {
        const { findings } = value.trim() === "" ? { findings: [] } : await session.call<{ findings: Finding[] }>("POST", "/policy-checks", { document: value, kind });
        if (gone) return;
        setFindings(findings);
        setProblem(undefined);
        onJudged?.(value.trim() !== "" && !findings.some((f) => f.severity === "error"));
      } catch (error) {
        if (gone) return;
        setProblem(sentence(error));
        onJudged?.(true); // it is for the server to say when it is to be stored
      }
    }, 300);
    return () => {
      gone = true;
      clearTimeout(soon);
    };
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [session, value, kind]);
  return (
    <SpaceBetween size="xs">
      <FormField label={label} description={description} stretch>
        <Textarea
          value={value}
          readOnly={readOnly}
          onChange={({ detail }) => onChange(detail.value)}
          rows={Math.min(28, Math.max(8, value.split("\n").length + 1))}
          spellcheck={false}
          className="document"
          ariaLabel={label}
        />
      </FormField>
      <div role="status" aria-label={`Findings in the ${label.toLowerCase()}`}>
        {problem && <Box color="text-status-error">The document could not be checked. {problem}</Box>}
        {!problem && !findings && <StatusIndicator type="loading">Checking</StatusIndicator>}
        {!problem && findings?.length === 0 && value.trim() !== "" && <StatusIndicator type="success">Nothing is wrong with it.</StatusIndicator>}
        {findings && findings.length > 0 && (
          <ul className="findings">
            {findings.map((f) => (
              <li key={`${f.line}:${f.column}:${f.text}`}>
                <StatusIndicator type={f.severity} wrapText>
                  Line {f.line}, column {f.column}: {f.text}
                </StatusIndicator>
              </li>
            ))}
          </ul>
        )}
      </div>
    </SpaceBetween>
  );
}

/** A document with an indentation that people read; what is no JSON stays as it is. */
export function pretty(document: string): string {
  try {
    return JSON.stringify(JSON.parse(document), null, 2);
  } catch {
    return document;
  }
}

/** The trust policy that a role needs whose sessions pods are given. */
export const podsTrust = JSON.stringify(
  {
    Version: "2012-10-17",
    Statement: [{ Effect: "Allow", Principal: { Service: "pods.eks.amazonaws.com" }, Action: ["sts:AssumeRole", "sts:TagSession"] }],
  },
  null,
  2,
);
