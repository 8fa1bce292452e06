import Alert from "@cloudscape-design/components/alert";
import Box from "@cloudscape-design/components/box";
import Button from "@cloudscape-design/components/button";
import Container from "@cloudscape-design/components/container";
import Form from "@cloudscape-design/components/form";
import FormField from "@cloudscape-design/components/form-field";
import Header from "@cloudscape-design/components/header";
import Input from "@cloudscape-design/components/input";
import SpaceBetween from "@cloudscape-design/components/space-between";
import Spinner from "@cloudscape-design/components/spinner";
import Textarea from "@cloudscape-design/components/textarea";
import { useEffect, useState } from "react";
import type { Link } from "./link";
import { useAct } from "./parts/act";
import { connect, type Credentials, type Session } from "./session";

interface SignInProps {
  /** Of `lanyard console`: it is tried at once. */
  link: Link | null;
  /** Why there is no session any more. */
  why?: string;
  onSession: (session: Session) => void;
  end: Session["end"];
}

export function SignIn({ link, why, onSession, end }: SignInProps) {
  const [keyId, setKeyId] = useState("");
  const [secret, setSecret] = useState("");
  const [token, setToken] = useState("");
  const [region, setRegion] = useState("us-east-1");
  const { busy, error, act } = useAct();

  const enter = (credentials: Credentials, where: string) => act("Not signed in", async () => onSession(await connect(credentials, where, end)));
  useEffect(() => {
    if (link) void enter(link.credentials, link.region ?? region);
  }, []); // eslint-disable-line react-hooks/exhaustive-deps

  if (link && !error) {
    return (
      <main className="sign-in">
        <Box textAlign="center">
          <Spinner /> Signing in
        </Box>
      </main>
    );
  }
  const ready = keyId.trim() !== "" && secret.trim() !== "";
  const submit = () =>
    ready && enter({ accessKeyId: keyId.trim(), secretAccessKey: secret.trim(), sessionToken: token.trim() || undefined }, region.trim());
  return (
    <main className="sign-in">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void submit();
        }}
      >
        <Form
          actions={
            <Button variant="primary" loading={busy} loadingText="Signing in" disabled={!ready} disabledReason="An access key has an id and a secret.">
              Sign in
            </Button>
          }
        >
          <SpaceBetween size="m">
            {why && <Alert type="info">{why}</Alert>}
            {error}
            <Container header={<Header variant="h1">Sign in</Header>}>
              <SpaceBetween size="m">
                <Box variant="p">
                  With an access key, or with temporary credentials. They stay in the memory of this page. Or run{" "}
                  <Box variant="code">lanyard console</Box>, which prints a link that signs you in for an hour.
                </Box>
                <FormField label="Access key ID">
                  <Input value={keyId} onChange={({ detail }) => setKeyId(detail.value)} autoComplete={false} spellcheck={false} autoFocus />
                </FormField>
                <FormField label="Secret access key">
                  <Input type="password" value={secret} onChange={({ detail }) => setSecret(detail.value)} autoComplete={false} />
                </FormField>
                <FormField label={<>Session token <i>- of temporary credentials</i></>}>
                  <Textarea value={token} onChange={({ detail }) => setToken(detail.value)} autoComplete={false} spellcheck={false} rows={2} />
                </FormField>
                <FormField label="Region" description="The server's, as lanyard init was told.">
                  <Input value={region} onChange={({ detail }) => setRegion(detail.value)} autoComplete={false} spellcheck={false} />
                </FormField>
              </SpaceBetween>
            </Container>
          </SpaceBetween>
        </Form>
      </form>
    </main>
  );
}
