# Two stages: a static binary, then an image that holds it, its bill of materials, the CA bundle and nothing else that runs.
# scripts/image.sh builds the same image with a local toolchain and without pulling anything.
FROM rust:1.95-bookworm AS build
WORKDIR /src
# For the bill of materials.
RUN apt-get update && apt-get install -y --no-install-recommends jq
COPY . .
# With an explicit target the flags do not reach build scripts and procedural macros, which cannot be static.
RUN target=$(rustc -vV | sed -n 's/^host: //p') \
    && RUSTFLAGS="-C target-feature=+crt-static" cargo build --locked --release --bin ringway --target "$target" \
    && scripts/rootfs.sh "target/$target/release/ringway" /rootfs

FROM scratch
COPY --from=build /rootfs/ /
LABEL ringway.sbom=/ringway.cdx.json
# ./traefik.toml and a relative acme.json are looked up here.
WORKDIR /
EXPOSE 80
ENTRYPOINT ["/ringway"]
