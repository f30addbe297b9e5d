//! What a verification relies on. It may still be on its way: then the registry is asked meanwhile.

use std::rc::Rc;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{Either, LocalBoxFuture, Shared, select};

use super::World;
use super::report::TrustReport;
use crate::error::Result;
use crate::verify::Verifier;

/// A verifier with its trusted root, and what the report says of it.
#[derive(Clone, Debug)]
pub struct Trusted {
    /// The verifier.
    pub verifier: Arc<Verifier>,
    /// What the report says of it.
    pub report: TrustReport,
}

/// What a run relies on, which is known once for all of its objects. Clones are the same.
#[derive(Clone, Debug)]
pub struct Trust {
    trusted: Shared<LocalBoxFuture<'static, Result<Rc<Trusted>>>>,
    step: Rc<str>,
}

impl Trust {
    /// Trust that is there.
    pub fn known(trusted: Trusted) -> Self {
        Self::coming("", std::future::ready(Ok(trusted)))
    }

    /// Trust that `work` fetches, which is what `step` says. Nothing is done before the first object asks.
    pub fn coming(step: &str, work: impl Future<Output = Result<Trusted>> + 'static) -> Self {
        let work = work.map(|trusted| trusted.map(Rc::new));
        Self { trusted: work.boxed_local().shared(), step: step.into() }
    }

    /// What the report says, as far as it is known.
    pub(super) fn report(&self) -> Option<TrustReport> {
        self.trusted.peek()?.as_ref().ok().map(|trusted| trusted.report.clone())
    }

    /// Waits for it.
    ///
    /// # Errors
    /// Undecided, as it was fetched.
    pub(super) async fn wait(&self, world: &World) -> Result<Rc<Trusted>> {
        Ok(self.beside(world, std::future::ready(Ok(()))).await?.0)
    }

    /// Does `work` beside waiting for trust.
    ///
    /// # Errors
    /// Those of trust first, at once and without what `work` may still do: without trust there is no verdict.
    pub(super) async fn beside<T>(
        &self,
        world: &World,
        work: impl Future<Output = Result<T>>,
    ) -> Result<(Rc<Trusted>, T)> {
        let work = std::pin::pin!(work);
        match select(self.trusted.clone(), work).await {
            Either::Left((trusted, work)) => {
                let trusted = trusted?;
                Ok((trusted, work.await?))
            }
            Either::Right((done, trusted)) => {
                world.enter(&*self.step);
                let trusted = trusted.await?;
                Ok((trusted, done?))
            }
        }
    }
}
