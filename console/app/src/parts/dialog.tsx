import Box from "@cloudscape-design/components/box";
import Button from "@cloudscape-design/components/button";
import Modal, { type ModalProps } from "@cloudscape-design/components/modal";
import SpaceBetween from "@cloudscape-design/components/space-between";
import type { ReactNode } from "react";

interface DialogProps {
  header: string;
  size?: ModalProps.Size;
  /** What the button that does it is called, and what it says meanwhile. */
  verb: string;
  doing: string;
  busy: boolean;
  /** Why it cannot be done yet. */
  lacks?: string;
  /** It has begun and cannot be cancelled. */
  held?: boolean;
  onDo: () => void;
  onCancel: () => void;
  children: ReactNode;
}

/** Asks for what it takes to do something, or whether it shall be done. */
export const Dialog = ({ header, size, verb, doing, busy, lacks, held, onDo, onCancel, children }: DialogProps) => (
  <Modal
    visible
    size={size}
    onDismiss={() => !held && onCancel()}
    closeAriaLabel="Close"
    header={header}
    footer={
      <Box float="right">
        <SpaceBetween direction="horizontal" size="xs">
          <Button variant="link" disabled={held} onClick={onCancel}>
            Cancel
          </Button>
          <Button variant="primary" disabled={!!lacks} disabledReason={lacks} loading={busy} loadingText={doing} onClick={onDo}>
            {verb}
          </Button>
        </SpaceBetween>
      </Box>
    }
  >
    {children}
  </Modal>
);
