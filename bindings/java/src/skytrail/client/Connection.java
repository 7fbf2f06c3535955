package skytrail.client;

import java.io.BufferedInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.StringJoiner;

/** Where the API is and how it is asked. Safe for use by several threads. */
public final class Connection {
    private static final Duration CONNECT_TIMEOUT = Duration.ofSeconds(5);
    private static final Duration CALL_TIMEOUT = Duration.ofSeconds(30);
    private static final int REASON_BYTES_MAX = 1 << 20;

    private final String baseUrl;
    private final HttpClient http;
    private final Map<String, String> headers;

    private Connection(String baseUrl, HttpClient http, Map<String, String> headers) {
        this.baseUrl = baseUrl.endsWith("/") ? baseUrl.substring(0, baseUrl.length() - 1) : baseUrl;
        this.http = http;
        this.headers = headers;
    }

    /** A connection to an API such as {@code http://127.0.0.1:8082}. */
    public static Connection to(String baseUrl) {
        HttpClient http =
                HttpClient.newBuilder()
                        .version(HttpClient.Version.HTTP_1_1)
                        .connectTimeout(CONNECT_TIMEOUT)
                        .build();
        return new Connection(baseUrl, http, Map.of());
    }

    /** The same with a client of the caller's making: own TLS settings, proxy, executor. */
    public Connection with(HttpClient client) {
        return new Connection(baseUrl, client, headers);
    }

    /** The same with a Keystone token in every request. */
    public Connection withToken(String token) {
        return withHeader("X-Auth-Token", token);
    }

    /** The same with an OpenID Connect token in every request. */
    public Connection withBearer(String token) {
        return withHeader("Authorization", "Bearer " + token);
    }

    /** The same with the name and password of a local user in every request. */
    public Connection withUser(String name, String password) {
        byte[] pair = (name + ":" + password).getBytes(StandardCharsets.UTF_8);
        return withHeader("Authorization", "Basic " + Base64.getEncoder().encodeToString(pair));
    }

    private Connection withHeader(String name, String value) {
        Map<String, String> more = new HashMap<>(headers);
        more.put(name, value);
        return new Connection(baseUrl, http, Map.copyOf(more));
    }

    /** Sends a request and returns what a success answers; the body may be null. */
    public Answer call(String method, String path, Object body) {
        return call(method, path, body, null);
    }

    /** The same, to be carried out only if the object still has this entity tag, unless it is null. */
    public Answer call(String method, String path, Object body, String ifMatch) {
        HttpRequest.BodyPublisher content =
                body == null
                        ? HttpRequest.BodyPublishers.noBody()
                        : HttpRequest.BodyPublishers.ofString(Json.write(body));
        HttpRequest.Builder request =
                request(path)
                        .timeout(CALL_TIMEOUT)
                        .header("Content-Type", "application/json")
                        .method(method, content);
        if (ifMatch != null) {
            request.header("If-Match", ifMatch);
        }
        HttpResponse<String> reply =
                send(request.build(), HttpResponse.BodyHandlers.ofString());
        return new Answer(answered(reply), reply.headers().firstValue("ETag").orElse(null));
    }

    /** The JSON object of an answer, empty for an empty body, and its entity tag, which may be null. */
    public record Answer(Map<String, Object> json, String tag) {}

    /** The body of an answer that never ends, read as it comes. */
    InputStream open(String path) throws IOException {
        HttpResponse<InputStream> reply =
                send(request(path).build(), HttpResponse.BodyHandlers.ofInputStream());
        if (reply.statusCode() < 400) {
            return new BufferedInputStream(reply.body());
        }
        try (InputStream body = reply.body()) {
            String text = new String(body.readNBytes(REASON_BYTES_MAX), StandardCharsets.UTF_8);
            throw refusal(reply.statusCode(), text.strip());
        }
    }

    private HttpRequest.Builder request(String path) {
        HttpRequest.Builder request =
                HttpRequest.newBuilder(URI.create(baseUrl + path))
                        .header("Accept", "application/json");
        headers.forEach(request::header);
        return request;
    }

    private <B> HttpResponse<B> send(HttpRequest request, HttpResponse.BodyHandler<B> handler) {
        try {
            return http.send(request, handler);
        } catch (IOException error) {
            throw new ApiUnavailableException("no answer from the API at " + baseUrl, error);
        } catch (InterruptedException error) {
            Thread.currentThread().interrupt();
            throw new ApiUnavailableException("interrupted while waiting for " + baseUrl, error);
        }
    }

    @SuppressWarnings("unchecked") // JSON objects have text as keys.
    private static Map<String, Object> answered(HttpResponse<String> reply) {
        String text = reply.body().strip();
        if (reply.statusCode() >= 400) {
            throw refusal(reply.statusCode(), text);
        }
        if (text.isEmpty()) {
            return Map.of();
        }
        try {
            if (Json.parse(text) instanceof Map<?, ?> found) {
                return (Map<String, Object>) found;
            }
        } catch (JsonException error) {
            throw new ApiUnavailableException("the answer is not one of this API", error);
        }
        throw new ApiUnavailableException("the answer is not one of this API: " + text, null);
    }

    private static RuntimeException refusal(int status, String text) {
        if (status == 502 || status == 503 || status == 504) {
            return new ApiUnavailableException("the API cannot serve now: " + text, null);
        }
        return ApiException.of(status, reasonIn(text));
    }

    /** The detail of a problem document, with every place it names, or the plain text. */
    private static String reasonIn(String text) {
        if (!text.startsWith("{")) {
            return text.isEmpty() ? "no text" : text;
        }
        try {
            Map<?, ?> document = (Map<?, ?>) Json.parse(text);
            if (document.get("errors") instanceof List<?> errors && errors.size() > 1) {
                StringJoiner places = new StringJoiner("\n");
                for (Object each : errors) {
                    Map<?, ?> problem = (Map<?, ?>) each;
                    places.add(problem.get("pointer") + ": " + problem.get("detail"));
                }
                return places.toString();
            }
            return document.get("detail") instanceof String detail ? detail : text;
        } catch (JsonException | ClassCastException error) {
            return text;
        }
    }
}
