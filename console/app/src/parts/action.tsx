import Button, { type ButtonProps } from "@cloudscape-design/components/button";

interface ActionProps extends ButtonProps {
  /** Why it cannot be done, as useAccess says: the button is disabled and shows it. */
  missing?: string;
}

/** A button for what not everybody may do. */
export const Action = ({ missing, disabled, disabledReason, ...rest }: ActionProps) => (
  <Button {...rest} disabled={disabled || !!missing} disabledReason={missing ?? disabledReason} />
);
