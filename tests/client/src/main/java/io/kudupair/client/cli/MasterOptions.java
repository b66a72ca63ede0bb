package io.kudupair.client.cli;

import io.kudupair.client.kudu.MasterAddress;
import org.apache.kudu.client.KuduClient;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** The options of every command that talks to a cluster. */
final class MasterOptions {
  @Spec(Spec.Target.MIXEE)
  private CommandSpec spec;

  private String master;
  private long timeoutSeconds = 30;

  @Option(
      names = "--master",
      required = true,
      paramLabel = "HOST:PORT",
      description = "The pair's Service, or a master.")
  void setMaster(String value) {
    try {
      master = MasterAddress.check(value);
    } catch (IllegalArgumentException e) {
      throw new ParameterException(spec.commandLine(), "--master: " + e.getMessage(), e);
    }
  }

  @Option(
      names = "--timeout-s",
      defaultValue = "30",
      paramLabel = "N",
      description =
          "Seconds that the Kudu client may spend on one operation, its retries included"
              + " (default: ${DEFAULT-VALUE}, as the Kudu client's own).")
  void setTimeoutSeconds(long value) {
    timeoutSeconds = Check.atLeast(spec, "--timeout-s", value, 1);
  }

  KuduClient connect() {
    return new KuduClient.KuduClientBuilder(master)
        .defaultAdminOperationTimeoutMs(timeoutSeconds * 1000)
        .defaultOperationTimeoutMs(timeoutSeconds * 1000)
        .build();
  }
}
