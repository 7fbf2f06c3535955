package skytrail.client;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;

/** Follows the stream of a selection, reconnecting with growing, jittered delays. */
final class Watch<T extends ConfigObject<T>> {
    private static final int GONE = 410;
    private static final int LINE_BYTES_MAX = 16 << 20;
    /** The API sends at least a bookmark every 10 s; after this long the connection is dead. */
    private static final long SILENCE_S_MAX = 35;
    private static final long DELAY_FIRST_MS = 100;
    private static final long DELAY_MAX_MS = 5000;

    private final Connection connection;
    private final String selection;
    private final WatchState<T> state;

    Watch(Connection connection, String selection, WatchState<T> state) {
        this.connection = connection;
        this.selection = selection;
        this.state = state;
    }

    /** Runs until whoever is told has had enough, the thread is interrupted or the API refuses. */
    void run() throws InterruptedException {
        long delay = DELAY_FIRST_MS;
        while (!Thread.interrupted()) {
            try {
                if (!follow()) {
                    return;
                }
            } catch (ApiException refused) {
                if (refused.status() == GONE) {
                    state.startOver();
                } else if (refused.status() < 500) {
                    throw refused;
                }
            } catch (IOException | JsonException | ApiUnavailableException broken) {
                // The next connection asks for what this one still owed.
                if (Thread.currentThread().isInterrupted()) {
                    break;
                }
            }
            delay = state.progressed() ? DELAY_FIRST_MS : delay;
            Thread.sleep(ThreadLocalRandom.current().nextLong(delay / 2, delay));
            delay = Math.min(2 * delay, DELAY_MAX_MS);
        }
        throw new InterruptedException("the watch was interrupted");
    }

    /** One connection; false when whoever is told has had enough. */
    private boolean follow() throws IOException {
        String from = state.resume() == null ? "" : "&from_revision=" + state.resume();
        if (!from.isEmpty() && !state.history().isEmpty()) {
            from += "&history=" + state.history();
        }
        ScheduledExecutorService clock = Executors.newSingleThreadScheduledExecutor(Watch::daemon);
        try (InputStream stream = connection.open("/api/v1/watch?" + selection + from)) {
            ScheduledFuture<?> silence = silence(clock, stream);
            String line = nextLine(stream);
            while (line != null) {
                silence.cancel(false);
                if (!line.isEmpty() && !state.take(line)) {
                    return false;
                }
                silence = silence(clock, stream);
                line = nextLine(stream);
            }
            return true;
        } finally {
            clock.shutdownNow();
        }
    }

    private static Thread daemon(Runnable work) {
        Thread thread = new Thread(work, "skytrail-watch-silence");
        thread.setDaemon(true);
        return thread;
    }

    private static ScheduledFuture<?> silence(ScheduledExecutorService clock, InputStream stream) {
        return clock.schedule(
                () -> {
                    stream.close();
                    return null;
                },
                SILENCE_S_MAX,
                TimeUnit.SECONDS);
    }

    private static String nextLine(InputStream stream) throws IOException {
        ByteArrayOutputStream line = new ByteArrayOutputStream();
        int each = stream.read();
        while (each >= 0 && each != '\n') {
            line.write(each);
            if (line.size() > LINE_BYTES_MAX) {
                throw new IOException("a line exceeds " + LINE_BYTES_MAX + " bytes");
            }
            each = stream.read();
        }
        return each < 0 ? null : line.toString(StandardCharsets.UTF_8);
    }
}
