# docker build -t coafi . && docker run -p 8080:8080 -e COAFI__KAFKA__BOOTSTRAP_SERVERS=… coafi consume
FROM rust:1.95.0-bookworm AS build
# The image has this toolchain; rust-toolchain.toml would make rustup download clippy and rustfmt beside it.
ENV RUSTUP_TOOLCHAIN=1.95.0
WORKDIR /build
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --locked --release --package coafi --bin coafi \
    && install -D target/release/coafi /out/coafi

FROM debian:bookworm-slim
# Debian's archive keeps no version but the last: a pinned one would be gone with the next correction of its security.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates libssl3 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/coafi --create-home coafi
COPY --from=build /out/coafi /usr/local/bin/coafi
COPY avro /etc/coafi/avro
COPY topics /etc/coafi/topics
COPY workflows /etc/coafi/workflows
COPY handler_routes.yaml /etc/coafi/handler_routes.yaml
# What is kept: by default below the working directory, which belongs to root.
ENV COAFI__ARTIFACTS__URL=/var/lib/coafi/artifacts \
    COAFI__GIT__CACHE_DIR=/var/lib/coafi/git
VOLUME /var/lib/coafi
WORKDIR /etc/coafi
USER 10001
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=5s --start-period=15s --retries=3 CMD ["coafi", "health"]
ENTRYPOINT ["coafi"]
CMD ["consume"]
