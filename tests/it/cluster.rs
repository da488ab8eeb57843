//! Stories over a real control plane: an API server with its controllers, istiod with its agent, a gateway, and the commands of
//! the documents. `./build.sh test cluster` starts the cluster that they share.

mod beside;
mod canary;
mod documented;
mod install;
mod load;
mod missing;
mod policies;
mod scene;
mod seed;
mod typo;
mod world;
