import CopyToClipboard from "@cloudscape-design/components/copy-to-clipboard";
import Box from "@cloudscape-design/components/box";
import SpaceBetween from "@cloudscape-design/components/space-between";

/** A text to copy: a command, or a document. */
export const Command = ({ text, label }: { text: string; label: string }) => (
  <Box padding={{ vertical: "xxs" }}>
    <SpaceBetween size="xs" direction="vertical">
      <pre className="code" tabIndex={0} aria-label={label}>
        {text}
      </pre>
      <CopyToClipboard
        variant="button"
        textToCopy={text}
        copyButtonText="Copy"
        copyButtonAriaLabel={`Copy ${label.toLowerCase()}`}
        copySuccessText="Copied"
        copyErrorText="This browser did not copy"
      />
    </SpaceBetween>
  </Box>
);
